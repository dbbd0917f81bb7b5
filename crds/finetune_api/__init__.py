"""The FineTuneJob API and the contract between operator and trainer.

Everything that crosses a border lives here, once: what users write (`job`), what they read back
(`status`, `report`), how failures are named (`failures`), what a process exits with (`exit_codes`).
This package imports neither torch nor kopf nor a Kubernetes client, so both sides can afford it.
"""

GROUP = "finetune.dev"
VERSION = "v1alpha1"
KIND = "FineTuneJob"
API_VERSION = f"{GROUP}/{VERSION}"
