"""Names and labels of children, deterministic so that creation is idempotent."""

from finetune_api.run_file import JobIdentity, Mode
from finetune_operator.labels import JOB_NAME, JOB_UID, MANAGED_BY, MANAGER, MODE

_STEM = 44  # leaves room for the UID, `-check` and the index in a host name of 63 characters
_UID = 8


def child_name(job: JobIdentity, mode: Mode) -> str:
    """Name of the Job of `job` in `mode`."""
    stem = f"{job.name[:_STEM].rstrip('-')}-{job.uid[:_UID]}"
    return f"{stem}-check" if mode is Mode.VALIDATE else stem


def pod_selector(job: JobIdentity, mode: Mode) -> dict[str, str]:
    """Labels by which a Job claims pods, all reserved for us where the chart's admission policies hold.

    With the selector that Kubernetes makes, by the Job's UID, the Job controller adopts anybody's pod with that label.
    """
    return {JOB_UID: job.uid, MODE: str(mode)}


def child_labels(job: JobIdentity, mode: Mode) -> dict[str, str]:
    """Labels of the Job and its pods."""
    return {
        "app.kubernetes.io/name": "finetune-trainer",
        MANAGED_BY: MANAGER,
        JOB_NAME: job.name,
        JOB_UID: job.uid,
        MODE: str(mode),
    }
