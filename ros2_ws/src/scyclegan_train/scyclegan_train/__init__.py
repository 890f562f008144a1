"""Training of the S-CycleGAN generator: the method, its data, and the export that `us_sim` renders with."""
