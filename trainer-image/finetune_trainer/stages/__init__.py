"""Stages of a run: preparing, training (or merging), evaluation, export, publishing."""
