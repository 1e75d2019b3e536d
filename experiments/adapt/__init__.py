"""Self-training: what it gives, and that it survives kills, processes and spoilt streams."""
