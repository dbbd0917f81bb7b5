"""Measures models: from logits and targets to metrics, gates and what a person should look at. Needs no torch."""
