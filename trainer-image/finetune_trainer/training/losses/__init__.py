"""Losses of training steps, and scores of rows, one module for each kind of task."""
