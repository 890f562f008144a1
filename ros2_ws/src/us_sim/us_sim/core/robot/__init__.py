"""Probe motion: demo motions over the skin, a seven-axis arm and its URDF."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
