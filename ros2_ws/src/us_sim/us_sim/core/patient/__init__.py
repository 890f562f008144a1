"""The patient model: CT in, tissue classes, body and skin, surface meshes, respiratory motion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
