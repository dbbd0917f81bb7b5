"""Sidecars of a terminated trainer: ended by the operator where they keep the pod running.

The Job controller acts on pods that have ended. One with a container that runs on never does, and would hold its GPU
for good.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from finetune_api.exit_codes import ExitCode
from finetune_operator.lifecycle.context import ReconcileContext, is_finished
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, ends_are_recorded
from finetune_operator.manifests.failure_policy import ENDS_THE_JOB
from finetune_operator.plan import DeletePod, PatchJob, Write
from finetune_operator.records import ChildJobRecord, ContainerState, PodRecord

GRACE = timedelta(seconds=10)
"""How long a sidecar may take to see for itself that the trainer has ended."""
END_NOW = {"spec": {"activeDeadlineSeconds": 1}}
"""Ends a Job that has begun and keeps its pods that ended, with their logs; deleting it would take them along."""


def blocking_containers(pod: PodRecord) -> tuple[str, ...]:
    """Names of the containers that keep a pod running whose trainer has terminated."""
    container = pod.container
    if container is None or container.state is not ContainerState.TERMINATED or pod.phase in ("Succeeded", "Failed"):
        return ()
    return tuple(
        other.name
        for other in pod.others
        if not other.is_init and other.container.state is not ContainerState.TERMINATED
    )


def sidecar_deadline(pod: PodRecord) -> datetime:
    """Time at which a blocked pod is ended."""
    container = pod.container
    return ((container.ended if container is not None else None) or pod.created) + GRACE


def ends_by_itself(job: ChildJobRecord, pods: tuple[PodRecord, ...], now: datetime) -> bool:
    """Whether the Job controller ends a Job by the exit code of its newest pod."""
    newest = next((pod for pod in reversed(pods) if pod.owner_uid == job.uid), None)
    if newest is None or newest.container is None or newest.condition("DisruptionTarget") is not None:
        return False
    if blocking_containers(newest):
        return now < sidecar_deadline(newest)
    if newest.container.exit_code == ExitCode.DONE:
        return newest.phase != "Failed"  # a sidecar's exit code fails the pod, and the Job would make another
    return newest.container.exit_code in ENDS_THE_JOB


def sidecar_actions(context: ReconcileContext, history: AttemptHistory) -> tuple[Write, ...]:
    """Actions that end blocked pods of failed attempts, and the Job of a successful check."""
    late = [pod for pod in _kept(context.pods) if context.now >= sidecar_deadline(pod)]
    pods = [DeletePod(pod.name, pod.uid) for pod in late] if ends_are_recorded(context, history) else []
    return (*pods, *_check(context))


def sidecar_check(context: ReconcileContext) -> datetime | None:
    """Time of the next sidecar deadline."""
    moments = [sidecar_deadline(pod) for pod in _kept(context.snapshot.pods)]
    return min((moment for moment in moments if moment > context.now), default=None)


def _check(context: ReconcileContext) -> Iterator[PatchJob]:
    """End the Job of a finished check, which must not create another pod."""
    for job in context.checks_done:
        is_ended = job.deleting or is_finished(job) or job.active_deadline_seconds == 1
        if not is_ended and not ends_by_itself(job, context.snapshot.pods, context.now):
            yield PatchJob(job.name, job.uid, END_NOW)


def _kept(pods: tuple[PodRecord, ...]) -> list[PodRecord]:
    return [pod for pod in pods if blocking_containers(pod) and not pod.deleting]
