"""Objects as the API server gives them, with what a projection reads and some of what it must not."""

from typing import Any

Json = dict[str, Any]
CREATED = "2026-11-21T12:00:00Z"


def meta(default_name: str, uid: str, version: int = 1, **more: Any) -> Json:
    return {
        "name": default_name, "namespace": "team", "uid": uid, "resourceVersion": str(version),
        "creationTimestamp": CREATED,
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}], **more,
    }  # fmt: skip


def finetune_job(uid: str = "tune-1", version: int = 1, status: Json | None = None, **more: Any) -> Json:
    return {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": meta("movies", uid, version, generation=2, **more),
        "spec": {"task": "SequenceClassification", "runPolicy": {"suspend": False}},
        "status": status or {},
    }


def owner(kind: str, uid: str, group: str, **more: Any) -> Json:
    return {"apiVersion": f"{group}/v1", "kind": kind, "name": "x", "uid": uid, "controller": True, **more}


def job(
    uid: str = "job-1", version: int = 1, owned_by: str = "tune-1", status: Json | None = None, **more: Any
) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta(
            "movies-1", uid, version, ownerReferences=[owner("FineTuneJob", owned_by, "finetune.dev")],
            labels={"finetune.dev/mode": "Train"}, **more,
        ),
        "spec": {"suspend": False, "backoffLimit": 3, "template": {"spec": {"containers": []}}},
        "status": status or {},
    }  # fmt: skip


def pod(uid: str = "pod-1", version: int = 1, owned_by: str = "job-1", status: Json | None = None, **more: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(
            "movies-1-0", uid, version, ownerReferences=[owner("Job", owned_by, "batch")],
            labels={"finetune.dev/job-uid": "tune-1"}, **more,
        ),
        "spec": {"nodeName": "node-1", "containers": [{"name": "trainer", "env": []}]},
        "status": status or {"phase": "Pending"},
    }  # fmt: skip


def deleted(uid: str, version: int = 99) -> Json:
    """An object as a watch shows it for the last time."""
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}
