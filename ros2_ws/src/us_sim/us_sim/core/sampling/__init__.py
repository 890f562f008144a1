"""The patient at given points: CT slices, tissue properties along scan lines, tissue-anchored scatterers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
