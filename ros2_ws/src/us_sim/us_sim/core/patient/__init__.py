"""The patient model: CT in, tissue classes, body and skin, surface meshes, respiratory motion."""
