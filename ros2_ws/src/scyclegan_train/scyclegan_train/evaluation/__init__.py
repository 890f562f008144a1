"""Evaluation: metrics, held-out patients, statistics and the report."""
