"""What several experiments (and benchmarks) share: evidence files, rendered sets, errors, heads."""
