"""Demo controllers: clients of the simulator as a robot's controller is one. Starting points, not medical devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
