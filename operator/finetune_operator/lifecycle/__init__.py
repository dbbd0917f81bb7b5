"""Lifecycle policies of a FineTuneJob, one module each, all of them pure."""
