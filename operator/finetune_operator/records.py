"""Records of cluster objects: the fields that decisions need.

Records are made from raw objects (`projection`) and are values: equal content is equal, nothing changes in place.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FineTuneJobRecord:
    """A FineTuneJob. `spec` and `status` are raw; `codec` decodes them."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    deleting: bool
    annotations: dict[str, str]
    """Those of group `finetune.dev` only."""
    spec: Json
    status: Json
    queue: str = ""
    """Value of Kueue's label for the LocalQueue."""
    queue_priority: str = ""
    """Value of Kueue's label for the priority class of its Workload."""


@dataclass(frozen=True, slots=True)
class ConditionRecord:
    """A condition of a Job or a Pod that is True, or that explains why it is not."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChildJobRecord:
    """A child `batch/v1` Job."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    """UID of the FineTuneJob that controls it; empty where nothing does."""
    mode: str
    """`run_file.Mode` that its pods have, from the label."""
    created: datetime
    deleting: bool
    suspend: bool
    backoff_limit: int
    active_deadline_seconds: int | None
    started: datetime | None
    """`status.startTime`: set anew on resumption; until then a suspended Job may still show the old one."""
    completed: datetime | None
    active: int
    failed: int
    succeeded: int
    terminating: int
    conditions: tuple[ConditionRecord, ...] = ()
    queue: str = ""
    """Kueue's LocalQueue, from the label: ours, or that of a webhook."""
    is_own_suspension: bool = False
    """Whether the operator suspended it for `runPolicy.suspend`."""
    suspender: str = ""
    """Who wrote `suspend` last, as its user agent says; empty where nobody else than the operator did."""
    parallelism: int = 1
    """Pods at a time: one as it is made; others may set 0, which holds the Job without suspending it."""

    def condition(self, kind: str) -> ConditionRecord | None:
        """The condition of that type where it is True."""
        return next((c for c in self.conditions if c.type == kind and c.status == "True"), None)


class ContainerState(StrEnum):
    """State of the trainer's container."""

    WAITING = "Waiting"
    RUNNING = "Running"
    TERMINATED = "Terminated"


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """The trainer's container."""

    state: ContainerState
    reason: str = ""
    """For example ImagePullBackOff while waiting, OOMKilled when terminated."""
    message: str = ""
    """Why it waits, or its termination message: untrusted input."""
    exit_code: int | None = None
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class OtherContainer:
    """An injected container that has not succeeded."""

    name: str
    is_init: bool
    """Whether it runs before the trainer's container."""
    container: ContainerRecord


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod of a child Job."""

    namespace: str
    name: str
    uid: str
    owner_uid: str
    """UID of the Job that controls it."""
    finetune_job_uid: str
    """UID of the FineTuneJob, from the label; true only if `owner_uid` is a Job of that FineTuneJob."""
    created: datetime
    deleting: bool
    deletion_deadline: datetime | None
    """When the grace period of a deletion ends."""
    phase: str
    reason: str
    """Reason of the pod itself, for example Evicted."""
    message: str
    ip: str
    node: str
    container: ContainerRecord | None = None
    forced: bool = False
    """Whether it is deleted without a grace period: nothing more can be done to it."""
    checkpoint_request: str = ""
    """Value of its annotation `finetune.dev/checkpoint`: what the trainer was asked for."""
    conditions: tuple[ConditionRecord, ...] = field(default=())
    """PodScheduled and DisruptionTarget, where they say something."""
    others: tuple[OtherContainer, ...] = ()
    """Init containers and sidecars that have not ended well. Native sidecars only while they wait: once the trainer's
    container has ended, the kubelet ends them."""

    def condition(self, kind: str) -> ConditionRecord | None:
        """The condition of that type, whatever its status."""
        return next((c for c in self.conditions if c.type == kind), None)
