"""Checkpoints: training states saved to the output, from which a later attempt or another run resumes."""
