"""Data sets in the published layouts: round trips, true labels, real frames, and replicas from end to end."""
