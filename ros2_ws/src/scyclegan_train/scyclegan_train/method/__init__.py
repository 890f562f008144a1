"""The method: networks, losses and the training step of S-CycleGAN."""
