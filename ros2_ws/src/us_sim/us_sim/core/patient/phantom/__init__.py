"""The built-in phantom: a procedural abdomen by seed, organ by organ, scanned as a CT."""
