"""Training state as named tensors: weights, optimizer, random generators, and the whole of them for a checkpoint."""
