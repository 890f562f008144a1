"""A scanner fitted to frames of the user's own (`us_sim_fit`): measures, simulated scenes, search, report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
