"""The child `batch/v1` Job."""

from finetune_api import API_VERSION, KIND
from finetune_operator.labels import QUEUE_LABEL, QUEUE_PRIORITY_LABEL, SUSPENDED
from finetune_operator.manifests.failure_policy import pod_failure_policy
from finetune_operator.manifests.job_inputs import Order
from finetune_operator.manifests.names import child_labels, child_name
from finetune_operator.manifests.pod import pod_template
from finetune_operator.records import Json


def child_job(order: Order) -> Json:
    """Return the Job for `order`: one pod at a time, replaced only once the one before is gone."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": child_name(order.job, order.mode),
            "namespace": order.job.namespace,
            "labels": {**child_labels(order.job, order.mode), **_queue(order)},
            **({"annotations": {SUSPENDED: "runPolicy"}} if order.suspend else {}),
            "ownerReferences": [_owner(order)],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": order.spec.run_policy.backoff_limit,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": pod_failure_policy(),
            **({"activeDeadlineSeconds": order.remaining_seconds} if order.remaining_seconds is not None else {}),
            **({"suspend": True} if order.queue or order.suspend else {}),
            "template": pod_template(order),
        },
    }


def _owner(order: Order) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": order.job.name,
        "uid": order.job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _queue(order: Order) -> dict[str, str]:
    """Kueue admits every Job: where it manages those without a queue too, an unlabelled check would never run."""
    named = {QUEUE_LABEL: order.queue, QUEUE_PRIORITY_LABEL: order.queue_priority if order.queue else ""}
    return {label: value for label, value in named.items() if value}
