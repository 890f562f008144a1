"""Training data: CT and ultrasound sources, on-disk layouts, splits."""
