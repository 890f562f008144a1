"""What moves the probe: demo motions over the skin, a seven-axis arm and its URDF."""
