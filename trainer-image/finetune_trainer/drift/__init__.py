"""Input drift: statistics of the training inputs, saved with the model, and comparison of new inputs with them."""
