"""Datasets in the formats that people train from, each written by its own library; the extra `export` brings them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
