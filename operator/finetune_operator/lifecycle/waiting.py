"""Pods that do not start: what they wait for, since when, and how long that is allowed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.failures import ImageUnavailable, JobFailure, PodNotStarted, PodUnschedulable
from finetune_api.run_file import Mode
from finetune_operator.lifecycle.case import Case, is_finished, is_over, is_running
from finetune_operator.lifecycle.sidecars import keepers, patience_ends
from finetune_operator.lifecycle.wording import tidy
from finetune_operator.records import ContainerState, PodRecord

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
     "RegistryUnavailable", "SignatureValidationFailed"}
)  # fmt: skip
_BROKEN = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError", "StartError",
     "PostStartHookError", "CrashLoopBackOff"}
)  # fmt: skip
_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(seconds=10), timedelta(seconds=600)
_MESSAGE = 400


@dataclass(frozen=True)
class Waiting:
    """Why there is no running pod."""

    failure: type[JobFailure]
    """What it becomes if it lasts."""
    message: str
    is_blocked: bool
    """Whether something is wrong, rather than slow."""
    since: datetime


def waiting(case: Case) -> Waiting | None:
    """What the current Job waits for; None where it runs, is suspended, or has ended."""
    job = case.job
    if job is None or job.deleting or job.suspend or is_finished(job) or case.is_suspending:
        return None
    if job.started is None or job.condition("Suspended") is not None:
        return None  # the Job controller has not begun, or not yet gone on
    pod = case.pod
    if pod is not None and (names := keepers(pod)):
        message = f"the trainer of pod {pod.name} has ended, and {_containers(names)} not; the pod is being ended"
        return Waiting(PodNotStarted, message, is_blocked=False, since=patience_ends(pod))
    if pod is None or is_over(pod):
        message = f"Job {job.name} has made no pod yet; kubectl describe job {job.name} tells why"
        return Waiting(PodNotStarted, message, is_blocked=False, since=max(job.started, _after_backoff(case)))
    if is_running(pod) or pod.deleting:
        return None
    return _for_its_start(pod, check=case.mode is Mode.VALIDATE)


def start_deadline(case: Case, wait: Waiting) -> datetime | None:
    """When waiting ends by `runPolicy.preRunningDeadlineSeconds`; None means never."""
    limit = case.spec.run_policy.pre_running_deadline_seconds
    return wait.since + timedelta(seconds=limit) if limit else None


def _after_backoff(case: Case) -> datetime:
    """When the Job controller has waited long enough after the last pod: twice as long each time."""
    if not case.pods:
        return case.world.tune.created
    last = case.pods[-1]
    ended = (last.container.ended if last.container else None) or last.created
    return ended + min(_FIRST_BACKOFF * 2.0 ** min(len(case.pods) - 1, 6), _LONGEST_BACKOFF)


def _for_its_start(pod: PodRecord, *, check: bool) -> Waiting:
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status != "True":
        is_check = ", the check before training, which runs under checkProfile," if check else ""
        why = tidy(scheduled.message, _MESSAGE) or "the scheduler found no node"
        message = f"pod {pod.name}{is_check} waits for a node: {why}"
        return Waiting(PodUnschedulable, message, is_blocked=True, since=pod.created)
    found = next(_broken(pod), None)
    if found is not None:
        return found
    at_work = [it.name for it in pod.others if it.is_init and it.container.state is ContainerState.RUNNING]
    waits = f"init container {at_work[0]}, which runs" if at_work else "its image and volumes"
    message = f"pod {pod.name} waits for {waits}; kubectl describe pod {pod.name} tells more"
    return Waiting(PodNotStarted, message, is_blocked=False, since=pod.created)


def _broken(pod: PodRecord) -> Iterator[Waiting]:
    """What is wrong with the containers that wait: the trainer's, or others without which it does not start."""
    named = [(f"{'init ' if it.is_init else ''}container {it.name} of ", it.container) for it in pod.others]
    for name, container in [("", pod.container), *named]:
        if container is None or container.state is not ContainerState.WAITING:
            continue
        detail = f": {tidy(container.message, _MESSAGE)}" if container.message else ""
        who, why = f"{name}pod {pod.name}", f"({container.reason}){detail}"
        if container.reason in _IMAGE:
            yield Waiting(ImageUnavailable, f"{who} can't get its image {why}", is_blocked=True, since=pod.created)
        elif container.reason in _BROKEN:
            yield Waiting(PodNotStarted, f"{who} can't start {why}", is_blocked=True, since=pod.created)


def _containers(names: tuple[str, ...]) -> str:
    return f"container {names[0]} has" if len(names) == 1 else f"containers {', '.join(names)} have"
