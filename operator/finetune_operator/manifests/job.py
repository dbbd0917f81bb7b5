"""The child `batch/v1` Job."""

from finetune_api import API_VERSION, KIND
from finetune_operator.labels import QUEUE_LABEL, QUEUE_PRIORITY_LABEL, SUSPENDED
from finetune_operator.manifests.failure_policy import pod_failure_policy
from finetune_operator.manifests.job_inputs import JobInputs
from finetune_operator.manifests.names import child_labels, child_name, pod_selector
from finetune_operator.manifests.pod import pod_template
from finetune_operator.records import Json


def child_job(inputs: JobInputs) -> Json:
    """The Job for `inputs`: one pod at a time, replaced only after the previous one has terminated."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": child_name(inputs.job, inputs.mode),
            "namespace": inputs.job.namespace,
            "labels": {**child_labels(inputs.job, inputs.mode), **_queue(inputs)},
            **({"annotations": {SUSPENDED: "runPolicy"}} if inputs.suspend else {}),
            "ownerReferences": [_owner(inputs)],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": inputs.spec.run_policy.backoff_limit,
            "podReplacementPolicy": "Failed",
            "manualSelector": True,
            "selector": {"matchLabels": pod_selector(inputs.job, inputs.mode)},
            "podFailurePolicy": pod_failure_policy(),
            **({"activeDeadlineSeconds": inputs.remaining_seconds} if inputs.remaining_seconds is not None else {}),
            **({"suspend": True} if inputs.queue or inputs.suspend else {}),
            "template": pod_template(inputs),
        },
    }


def _owner(inputs: JobInputs) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": inputs.job.name,
        "uid": inputs.job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _queue(inputs: JobInputs) -> dict[str, str]:
    """Kueue's queue label for every Job: where Kueue manages unlabelled ones too, a check would never run."""
    named = {QUEUE_LABEL: inputs.queue, QUEUE_PRIORITY_LABEL: inputs.queue_priority if inputs.queue else ""}
    return {label: value for label, value in named.items() if value}
