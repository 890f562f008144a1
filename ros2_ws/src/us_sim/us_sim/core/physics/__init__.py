"""The physics renderer: B-mode from tissue properties along scan lines."""
