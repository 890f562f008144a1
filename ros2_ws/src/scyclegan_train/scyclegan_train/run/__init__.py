"""A training run: loop, schedule, checkpoints, journal, export."""
