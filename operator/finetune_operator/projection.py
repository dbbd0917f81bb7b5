"""Projection of raw objects to records with the fields that decisions need.

Objects of users are read here, so nothing may be taken for granted: labels and owner references can be anything.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from finetune_api import GROUP, KIND
from finetune_api.pod import CHECKPOINT_ANNOTATION
from finetune_operator.labels import (
    CONTAINER,
    JOB_UID,
    MANAGER,
    MODE,
    QUEUE_LABEL,
    QUEUE_PRIORITY_LABEL,
    SUSPENDED,
)
from finetune_operator.records import (
    ChildJobRecord,
    ConditionRecord,
    ContainerRecord,
    ContainerState,
    FineTuneJobRecord,
    Json,
    OtherContainer,
    PodRecord,
)

_POD_CONDITIONS = frozenset({"PodScheduled", "DisruptionTarget"})
_TEXT_LIMIT = 4096
"""Longest text of a pod that is kept: as much as the kubelet keeps of a termination message."""
_EPOCH = datetime.fromtimestamp(0, UTC)


def finetune_job_record(body: Json) -> FineTuneJobRecord:
    """Record of a FineTuneJob."""
    meta = body["metadata"]
    annotations, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    return FineTuneJobRecord(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        created=_time(meta.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in meta,
        annotations={name: value for name, value in annotations.items() if name.split("/")[0].endswith(GROUP)},
        spec=_lean(body.get("spec") or {}),
        status=_lean(body.get("status") or {}),
        queue=labels.get(QUEUE_LABEL, ""),
        queue_priority=labels.get(QUEUE_PRIORITY_LABEL, ""),
    )


def child_job_record(body: Json) -> ChildJobRecord:
    """Record of a child Job."""
    meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    return ChildJobRecord(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=_controller_uid(meta, KIND, GROUP),
        mode=sys.intern((meta.get("labels") or {}).get(MODE, "")),
        created=_time(meta.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in meta,
        suspend=bool(spec.get("suspend")),
        backoff_limit=spec.get("backoffLimit", 6),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
        started=_time(status.get("startTime")),
        completed=_time(status.get("completionTime")),
        active=status.get("active", 0),
        failed=status.get("failed", 0),
        succeeded=status.get("succeeded", 0),
        terminating=status.get("terminating") or 0,
        conditions=tuple(_condition(raw) for raw in status.get("conditions") or ()),
        queue=sys.intern((meta.get("labels") or {}).get(QUEUE_LABEL, "")),
        is_own_suspension=SUSPENDED in (meta.get("annotations") or {}),
        suspender=_suspender(meta) if spec.get("suspend") else "",
        parallelism=spec.get("parallelism", 1),
    )


def _suspender(meta: Json) -> str:
    """Manager of the last write to `spec.suspend`; empty for this operator and for admission webhooks."""
    writers = [
        entry
        for entry in meta.get("managedFields") or ()
        if "f:suspend" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    last: Json = max(writers, key=lambda entry: entry.get("time") or "", default={})
    name = str(last.get("manager", ""))
    return "" if name.startswith(MANAGER) else sys.intern(name[:64])


def pod_record(body: Json) -> PodRecord:
    """Record of a pod of a child Job."""
    meta, status = body["metadata"], body.get("status") or {}
    return PodRecord(
        namespace=sys.intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=_controller_uid(meta, "Job", "batch"),
        finetune_job_uid=(meta.get("labels") or {}).get(JOB_UID, ""),
        created=_time(meta.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in meta,
        deletion_deadline=_time(meta.get("deletionTimestamp")),
        phase=sys.intern(status.get("phase", "")),
        reason=status.get("reason", ""),
        message=_cut(status.get("message", "")),
        ip=status.get("podIP", ""),
        node=sys.intern((body.get("spec") or {}).get("nodeName") or ""),
        container=_trainer(status.get("containerStatuses") or ()),
        forced="deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds") == 0,
        checkpoint_request=_cut((meta.get("annotations") or {}).get(CHECKPOINT_ANNOTATION, "")),
        conditions=tuple(_condition(c) for c in status.get("conditions") or () if c["type"] in _POD_CONDITIONS),
        others=tuple(_others(body.get("spec") or {}, status)),
    )


def resource_version(body: Json) -> int:
    """Resource version as a number, to order versions; -1 for others."""
    text = body["metadata"].get("resourceVersion", "")
    return int(text) if text.isdecimal() else -1


def _trainer(statuses: Any) -> ContainerRecord | None:
    """The trainer's container, at any position."""
    return next((_container(status.get("state") or {}) for status in statuses if status["name"] == CONTAINER), None)


def _others(spec: Json, status: Json) -> Iterator[OtherContainer]:
    """Injected containers that have not succeeded."""
    native = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for field, is_init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for found in status.get(field) or ():
            name, container = found["name"], _container(found.get("state") or {})
            is_at_work = name not in native or container.state is ContainerState.WAITING
            if (is_init or name != CONTAINER) and is_at_work and container.exit_code != 0:
                yield OtherContainer(sys.intern(name), is_init, container)


def _container(state: Json) -> ContainerRecord:
    for kind in (ContainerState.TERMINATED, ContainerState.RUNNING):
        if (found := state.get(kind.lower())) is not None:
            return ContainerRecord(
                state=kind,
                reason=found.get("reason", ""),
                message=_cut(found.get("message", "")),
                exit_code=found.get("exitCode"),
                started=_time(found.get("startedAt")),
                ended=_time(found.get("finishedAt")),
            )
    waiting = state.get("waiting") or {}
    return ContainerRecord(
        ContainerState.WAITING, reason=waiting.get("reason", ""), message=_cut(waiting.get("message", ""))
    )


def _condition(raw: Json) -> ConditionRecord:
    return ConditionRecord(
        type=sys.intern(raw["type"]),
        status=sys.intern(raw["status"]),
        reason=sys.intern(raw.get("reason") or ""),
        message=_cut(raw.get("message") or ""),
        since=_time(raw.get("lastTransitionTime")),
    )


def _controller_uid(meta: Json, kind: str, group: str) -> str:
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == kind and owner["apiVersion"].split("/")[0] == group:
            return str(owner["uid"])
    return ""


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _cut(text: str) -> str:
    return text[:_TEXT_LIMIT]


def _lean(value: Any) -> Any:
    """The value with interned keys and short strings, which make up most of a spec."""
    if isinstance(value, dict):
        return {sys.intern(key): _lean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lean(item) for item in value]
    return sys.intern(value) if isinstance(value, str) and len(value) <= 32 else value
