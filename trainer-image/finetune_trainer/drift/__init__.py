"""Are new inputs like those that a model was trained on? Statistics saved with the model, and their comparison."""
