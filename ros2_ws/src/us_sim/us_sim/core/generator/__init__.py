"""The learned renderer: U-Net, artifact and its card, input encoding, inference backends."""
