"""Observations of one FineTuneJob in a snapshot: attempts, pods, checkpoints, progress, dependencies."""
