"""Operator: reconciles FineTuneJobs into child Jobs, and reports status.

One direction only: `kopf_adapter` and `controller` -> `reconcile` and what it decides with (`lifecycle`, `manifests`),
all pure. `cluster` alone talks to the API server.
"""

__version__ = "0.1.0"
