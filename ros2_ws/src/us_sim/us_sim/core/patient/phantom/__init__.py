"""The built-in phantom: a procedural abdomen by seed, organ by organ, scanned as a CT."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
