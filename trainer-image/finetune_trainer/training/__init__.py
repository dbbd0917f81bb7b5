"""The optimisation: batches, optimiser, loop, early stopping and what makes it fast."""
