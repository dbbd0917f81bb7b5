"""Policies of spec and settings: deadlines, limits and clean-up, one module each."""
