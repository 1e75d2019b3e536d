"""Accuracy and calibration; each module writes its evidence to `experiments/results`."""
