"""Command line and progress output. Nothing here imports torch before it is needed."""
