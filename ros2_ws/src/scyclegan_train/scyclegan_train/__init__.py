"""Training of the S-CycleGAN generator: the method, its data, and the export that `us_sim` renders with."""

import us_sim  # noqa: F401  before torch: it says how waiting threads behave, and torch reads that when imported
