"""What goes into a reconcile and what comes out: values only, so that decisions can be tested without a cluster."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from finetune_api.live import Live
from finetune_api.status import Status
from finetune_operator.records import JobRecord, Json, PodRecord, TuneRecord
from finetune_operator.settings import Settings


@dataclass(frozen=True)
class LiveRecord:
    """The newest answer of a pod's `/progress`."""

    pod_uid: str
    live: Live
    received: datetime


@dataclass(frozen=True)
class Silence:
    """Questions for its progress that a running pod has left unanswered, the newest ones in a row."""

    pod_uid: str
    since: datetime
    """When the first of them was asked."""
    questions: int
    why: str
    """How it went, for example `HTTP 403` or `no answer`."""


@dataclass(frozen=True)
class Refusal:
    """The API server's answer to the last attempt to create a child, where it was no."""

    code: int
    """HTTP status: 403 for quota and admission, 409 for a name that is taken, 422 for an invalid object."""
    message: str
    at: datetime


@dataclass(frozen=True)
class World:
    """All that is known about one FineTuneJob at one moment."""

    tune: TuneRecord
    jobs: tuple[JobRecord, ...]
    """Jobs that this FineTuneJob controls."""
    pods: tuple[PodRecord, ...]
    """Pods of those Jobs, oldest first."""
    live: LiveRecord | None
    refusal: Refusal | None
    now: datetime
    settings: Settings
    run_file: str | None = None
    """The run file in the annotation of its newest Job; None where nobody has looked, empty where there is none."""
    parents: tuple[TuneRecord, ...] = ()
    """What each `finetunejob://...` of the spec names, as far as it is there and its result is still waited for."""
    circle: tuple[str, ...] = ()
    """Names on the way from a parent that waits itself to this job, which is the last; empty where there is none."""
    dependents: int = 0
    """Other jobs that wait for the result of this one and have not taken it yet."""
    created: frozenset[str] = frozenset()
    """UIDs of Jobs that this process created, or found to be as it would create them."""
    silence: Silence | None = None
    vanished: frozenset[str] = frozenset()
    """UIDs of Jobs that are known not to exist any more, though pods of theirs may."""


@dataclass(frozen=True)
class CreateJob:
    """Create a child Job. That it is there already is fine, if it is ours."""

    manifest: Json


@dataclass(frozen=True)
class PatchJob:
    """Merge `patch` into a child Job, if it is still the one with this UID."""

    name: str
    uid: str
    patch: Json


@dataclass(frozen=True)
class RestoreLabels:
    """Give a Job its labels back that is not seen any more though a pod of it runs, if it still exists."""

    name: str
    uid: str
    labels: dict[str, str]


@dataclass(frozen=True)
class DeleteJob:
    """Delete a child Job in the foreground: first its pods, then itself. Only if it is still the one with this UID."""

    name: str
    uid: str


@dataclass(frozen=True)
class AskForCheckpoint:
    """Put a request for a checkpoint into the pod's annotation, if it is still the one with this UID."""

    name: str
    uid: str
    request: str


@dataclass(frozen=True)
class DeletePod:
    """Delete a pod, if it is still the one with this UID. Its Job makes another."""

    name: str
    uid: str
    force: bool = False
    """Without a grace period, and without asking its node."""


@dataclass(frozen=True)
class FailPod:
    """Declare a pod failed whose node does not do so, if it is still the one with this UID. Its Job makes another.

    It counts as disrupted, as when Kubernetes cleans up after a node that is gone.
    """

    name: str
    uid: str
    reason: str
    """CamelCase word for the pod's condition DisruptionTarget."""
    message: str
    """Sentence for the same."""


@dataclass(frozen=True)
class DeleteTune:
    """Delete the FineTuneJob itself: its time to live is over. Outputs stay."""

    uid: str


Write = CreateJob | PatchJob | RestoreLabels | DeleteJob | AskForCheckpoint | FailPod | DeletePod | DeleteTune


class EventType(StrEnum):
    """As Kubernetes names them."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class Event:
    """A line of the job's story in `kubectl describe`."""

    type: EventType
    reason: str
    """CamelCase word for programs."""
    message: str
    """Sentence for people."""


@dataclass(frozen=True)
class Plan:
    """What a reconcile wants: first the writes in order, then the status, then the events."""

    status: Status
    """The whole status; written only where it differs from the one that is stored."""
    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    """Sent once the status is written: they tell transitions, so a repeated reconcile has none."""
    again_at: datetime | None = None
    """When to look again though nothing has happened: a deadline, a time to live."""
    poll: PodRecord | None = field(default=None)
    """The pod to ask for its progress."""
    needs_run_file: str = ""
    """Name of the Job whose run file has to be read before anything can be decided; the rest of the plan is void."""
