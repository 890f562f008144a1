"""Benchmarks and profiles (`make bench`)."""
