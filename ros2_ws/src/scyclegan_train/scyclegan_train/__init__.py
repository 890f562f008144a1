"""Training of the S-CycleGAN generator: the method, its data, and the export that `us_sim` renders with."""

from us_sim import __version__  # before torch: it says how waiting threads behave, and torch reads that when imported

__all__ = ["__version__"]
