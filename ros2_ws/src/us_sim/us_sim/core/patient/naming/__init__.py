"""What a label means: names of structures, the label sets of others, and what a file says of itself."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
