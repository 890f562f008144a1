"""The detail that a CT's voxels are too coarse to show: vessels, walls and layers inside the organs, drawn by seed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
