"""Rigid transforms and probe geometry: frames `ct` and `probe`, fans, pixel and scan-line grids, in mm."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
