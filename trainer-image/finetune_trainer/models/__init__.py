"""Base models: their files and their loading, without pickle or remote code."""
