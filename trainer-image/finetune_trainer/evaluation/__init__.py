"""Evaluation: metrics, gates and diagnoses from logits and targets. Needs no torch."""
