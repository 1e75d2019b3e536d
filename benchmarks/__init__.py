"""Timings against plain twins; each module writes its evidence to `benchmarks/results`."""
