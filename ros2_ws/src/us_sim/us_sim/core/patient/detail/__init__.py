"""The detail that a CT's voxels are too coarse to show: vessels, walls and layers inside the organs, drawn by seed."""
