"""How things are computed: device, processor cores, compiled kernels, the lattice of smooth fields."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
