"""The generator renderer: U-Net, artifact and its card, input encoding, inference backends."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
