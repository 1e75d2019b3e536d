"""Timings against simple reference implementations; their evidence is in `benchmarks/results`."""
