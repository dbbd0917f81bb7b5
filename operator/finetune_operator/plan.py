"""Inputs and outputs of a reconcile as values, so that decisions are testable without a cluster."""

import re
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from finetune_api.live import Live
from finetune_api.status import Status
from finetune_operator.records import ChildJobRecord, FineTuneJobRecord, Json, PodRecord
from finetune_operator.settings import Settings


@dataclass(frozen=True)
class LiveRecord:
    """The newest response of a pod's `/progress`."""

    pod_uid: str
    live: Live
    received: datetime


_MAY_CHANGE = re.compile(r"denied (the )?request|is forbidden")
_LONGEST_RETRY, _FIRST_RETRY = 300.0, 5.0
_TAKEN_RETRY = 2.0
"""A name is taken until a Job that is being deleted has gone."""


@dataclass(frozen=True)
class UnansweredPolls:
    """Consecutive unanswered polls of a running pod."""

    pod_uid: str
    since: datetime
    """When the first of them was asked."""
    questions: int
    why: str
    """How it went, for example `HTTP 403` or `no answer`."""


@dataclass(frozen=True)
class Refusal:
    """The API server's refusal of the last write."""

    code: int
    """HTTP status: 403 for quota and admission, 409 for a name that is taken, 422 for an invalid object, 5xx for a
    webhook that does not answer."""
    message: str
    at: datetime
    count: int = 1
    """Times in a row."""
    what: str = ""
    """What was refused, in words; empty for the creation of the child Job."""

    @property
    def is_final(self) -> bool:
        """Whether the object is invalid, so that a retry is useless. Policies deny with 400, 403 or 422."""
        return self.code in {400, 413, 422} and not _MAY_CHANGE.search(self.message)

    @property
    def is_shortage(self) -> bool:
        """Whether the object is fine but a quota is used up, or the API server is unwell."""
        return self.code == 429 or self.code >= 500 or is_shortage(self.message)

    @property
    def next_try(self) -> datetime:
        """Time of the next retry: exponential back-off up to five minutes, with jitter."""
        first = _TAKEN_RETRY if self.code == 409 else _FIRST_RETRY
        longest = min(first * 2 ** min(self.count - 1, 10), _LONGEST_RETRY)
        share = zlib.crc32(f"{self.at} {self.message}".encode()) % 1000 / 1000
        return self.at + timedelta(seconds=round(longest * (0.75 + share / 2)))


def is_shortage(message: str) -> bool:
    """Whether a refusal is due to a quota."""
    return "exceeded quota" in message


class QueueState(StrEnum):
    """State of a Kueue LocalQueue."""

    UNKNOWN = "Unknown"
    """Nobody asked, or the answer was refused."""
    THERE = "There"
    MISSING = "Missing"
    """Kueue is installed, and has no such queue in the namespace."""
    NO_KUEUE = "NoKueue"
    """The API server knows no LocalQueues."""


@dataclass(frozen=True)
class LookUpResult:
    """Lookup results for a waiting Job, beyond watched objects."""

    job_uid: str
    at: datetime
    refused: str = ""
    """Why the Job controller could not create its pod, by its newest event; empty where nothing says so."""
    refused_at: datetime | None = None
    """When that was."""
    queue: QueueState = QueueState.UNKNOWN


@dataclass(frozen=True)
class LookUpRequest:
    """A lookup: events of the Job, and its LocalQueue, if any."""

    job: str
    job_uid: str
    queue: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All known state of one FineTuneJob at one time."""

    finetune_job: FineTuneJobRecord
    jobs: tuple[ChildJobRecord, ...]
    """Jobs that this FineTuneJob controls."""
    pods: tuple[PodRecord, ...]
    """Pods of those Jobs, oldest first."""
    live: LiveRecord | None
    refusal: Refusal | None
    now: datetime
    settings: Settings
    parents: tuple[FineTuneJobRecord, ...] = ()
    """What each `finetunejob://...` of the spec names, as far as it is there and its result is still waited for."""
    cycle: tuple[str, ...] = ()
    """Names on the way from a parent that waits itself to this job, which is the last; empty where there is none."""
    dependents: int = 0
    """Other jobs that wait for the result of this one and have not taken it yet."""
    created: frozenset[str] = frozenset()
    """UIDs of Jobs that this process created, or found to be as it would create them."""
    unanswered: UnansweredPolls | None = None
    vanished: frozenset[str] = frozenset()
    """UIDs of Jobs that are known not to exist any more, though pods of theirs may."""
    refused_writes: tuple[Refusal, ...] = ()
    """Writes that the API server refuses now, the creation of the child Job apart."""
    found: LookUpResult | None = None
    run_file: str | None = None
    """The run file in the annotation of its newest Job; None where nobody has looked, empty where there is none."""


@dataclass(frozen=True)
class CreateJob:
    """Create a child Job. An existing one of ours is fine."""

    manifest: Json


@dataclass(frozen=True)
class PatchJob:
    """Merge `patch` into a child Job with this UID."""

    name: str
    uid: str
    patch: Json


@dataclass(frozen=True)
class RestoreLabels:
    """Restore the labels of an existing Job that is not in the cache though a pod of it runs."""

    name: str
    uid: str
    labels: dict[str, str]


@dataclass(frozen=True)
class DeleteJob:
    """Delete a child Job with this UID in the foreground: its pods first."""

    name: str
    uid: str


@dataclass(frozen=True)
class AskForCheckpoint:
    """Write a checkpoint request to the annotation of the pod with this UID."""

    name: str
    uid: str
    request: str


@dataclass(frozen=True)
class DeletePod:
    """Delete the pod with this UID. Its Job creates another."""

    name: str
    uid: str
    force: bool = False
    """Without a grace period, and without asking its node."""


@dataclass(frozen=True)
class FailPod:
    """Mark the pod with this UID failed where its node does not. Its Job creates another.

    It counts as disrupted, as when Kubernetes cleans up after a node that is gone.
    """

    name: str
    uid: str
    reason: str
    """CamelCase word for the pod's condition DisruptionTarget."""
    message: str
    """Sentence for the same."""


@dataclass(frozen=True)
class DeleteFineTuneJob:
    """Delete the FineTuneJob itself after its TTL. Outputs stay."""

    uid: str


def described(write: "Write") -> str:
    """A write as text after "refuses to"."""
    match write:
        case CreateJob(manifest):
            return f"create Job {manifest['metadata']['name']}"
        case PatchJob(name):
            return f"change Job {name}"
        case RestoreLabels(name):
            return f"give Job {name} its labels back"
        case DeleteJob(name):
            return f"delete Job {name}"
        case AskForCheckpoint(name):
            return f"annotate pod {name}"
        case FailPod(name):
            return f"give up pod {name}"
        case DeletePod(name):
            return f"delete pod {name}"
    return "delete this FineTuneJob"


Write = CreateJob | PatchJob | RestoreLabels | DeleteJob | AskForCheckpoint | FailPod | DeletePod | DeleteFineTuneJob


class EventType(StrEnum):
    """Event types of Kubernetes."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class Event:
    """An event about the FineTuneJob."""

    type: EventType
    reason: str
    """CamelCase word for programs."""
    message: str
    """Sentence for people."""


@dataclass(frozen=True)
class Plan:
    """Result of a reconcile: writes in order, then status, then events."""

    status: Status
    """The whole status; written only where it differs from the one that is stored."""
    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    """Sent once the status is written: they tell transitions, so a repeated reconcile has none."""
    again_at: datetime | None = None
    """When to look again though nothing has happened: a deadline, a time to live."""
    poll: PodRecord | None = field(default=None)
    """The pod to ask for its progress."""
    look_up: LookUpRequest | None = None
    """What to look up now, since the Job waits and nothing says why; then decide again."""
    needs_run_file: str = ""
    """Name of the Job whose run file has to be read before anything can be decided; the rest of the plan is void."""
