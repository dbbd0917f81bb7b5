"""Trainer in a pod: run file in, progress over HTTP, termination message out."""
