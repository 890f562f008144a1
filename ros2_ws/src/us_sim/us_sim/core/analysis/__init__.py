"""What a frame shows, in numbers: organs in view, confidence map, segmentation of the image."""
