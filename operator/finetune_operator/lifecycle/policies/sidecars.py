"""Containers beside the trainer's: once that has ended, its pod is of no use, and what keeps it is ended as well.

The Job controller acts on pods that have ended. One with a container that runs on never does, and would hold its GPU
for good.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from finetune_api.exit_codes import ExitCode
from finetune_operator.lifecycle.context import Case, is_finished
from finetune_operator.lifecycle.observe.attempts import Tally, tells_the_same
from finetune_operator.manifests.failure_policy import ENDS_THE_JOB
from finetune_operator.plan import DeletePod, PatchJob, Write
from finetune_operator.records import ContainerState, JobRecord, PodRecord

GRACE = timedelta(seconds=10)
"""How long a sidecar may take to see for itself that the trainer has ended."""
END_NOW = {"spec": {"activeDeadlineSeconds": 1}}
"""Ends a Job that has begun and keeps its pods that ended, with their logs; deleting it would take them along."""


def keepers(pod: PodRecord) -> tuple[str, ...]:
    """Names of the containers that keep a pod whose trainer has ended; empty where it ends by itself."""
    container = pod.container
    if container is None or container.state is not ContainerState.TERMINATED or pod.phase in ("Succeeded", "Failed"):
        return ()
    return tuple(
        other.name
        for other in pod.others
        if not other.is_init and other.container.state is not ContainerState.TERMINATED
    )


def patience_ends(pod: PodRecord) -> datetime:
    """When what keeps the pod is ended."""
    container = pod.container
    return ((container.ended if container is not None else None) or pod.created) + GRACE


def ends_by_itself(job: JobRecord, pods: tuple[PodRecord, ...], now: datetime) -> bool:
    """Whether the Job controller will end a Job for the exit code of its newest pod."""
    newest = next((pod for pod in reversed(pods) if pod.owner_uid == job.uid), None)
    if newest is None or newest.container is None or newest.condition("DisruptionTarget") is not None:
        return False
    if keepers(newest):
        return now < patience_ends(newest)
    if newest.container.exit_code == ExitCode.DONE:
        return newest.phase != "Failed"  # a sidecar's exit code fails the pod, and the Job would make another
    return newest.container.exit_code in ENDS_THE_JOB


def leftovers(case: Case, now: Tally) -> tuple[Write, ...]:
    """Ends pods of failed attempts, and the Job of a check that went well, where something keeps them."""
    late = [pod for pod in _kept(case.pods) if case.world.now >= patience_ends(pod)]
    pods = [DeletePod(pod.name, pod.uid) for pod in late] if tells_the_same(case, now) else []
    return (*pods, *_check(case))


def sidecar_check(case: Case) -> datetime | None:
    """When to end what keeps a pod."""
    moments = [patience_ends(pod) for pod in _kept(case.world.pods)]
    return min((moment for moment in moments if moment > case.world.now), default=None)


def _check(case: Case) -> Iterator[PatchJob]:
    """The check has said what it had to: its Job is of no use any more, and must not make another pod."""
    for job in case.checks_done:
        is_ended = job.deleting or is_finished(job) or job.active_deadline_seconds == 1
        if not is_ended and not ends_by_itself(job, case.world.pods, case.world.now):
            yield PatchJob(job.name, job.uid, END_NOW)


def _kept(pods: tuple[PodRecord, ...]) -> list[PodRecord]:
    return [pod for pod in pods if keepers(pod) and not pod.deleting]
