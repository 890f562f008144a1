"""Training of the S-CycleGAN generator. Empty so far: it will use `us_sim.core` and export an artifact file."""
