"""Estimate of a job's memory and time: its own training step, run on tensors without values."""
