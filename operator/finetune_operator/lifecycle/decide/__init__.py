"""Decisions: phase, outcome, and actions on child Jobs and pods."""
