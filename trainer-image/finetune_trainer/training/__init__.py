"""Training: batches, optimizer, loop, early stopping and speed-ups."""
