"""Data sets in the published layouts: round trips, labels as predictions, real frames, replicas."""
