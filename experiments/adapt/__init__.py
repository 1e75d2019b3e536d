"""Self-training: its gain, and its robustness to kills, several processes and corrupted streams."""
