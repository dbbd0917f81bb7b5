"""The operator: watches FineTuneJobs, keeps one child Job for each, and tells in the status how it goes.

One direction only: `handlers` (kopf) -> `controller` -> `reconcile` and what it decides with (`lifecycle`,
`manifests`), all pure. `cluster` alone talks to the API server.
"""

__version__ = "0.1.0"
