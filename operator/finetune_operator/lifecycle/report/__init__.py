"""Reporting: conditions, events, and the status to write."""
