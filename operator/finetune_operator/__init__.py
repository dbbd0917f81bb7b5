"""The operator: watches FineTuneJobs, keeps one child Job for each, and reports its state in the status.

One direction only: `kopf_adapter` and `controller` -> `reconcile` and what it decides with (`lifecycle`, `manifests`),
all pure. `cluster` alone talks to the API server.
"""

__version__ = "0.1.0"
