"""Start deadline: pods that do not start, the reason, and the time allowed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.failures import ImageUnavailable, JobFailure, PodNotStarted, PodUnschedulable
from finetune_api.run_file import Mode
from finetune_operator.lifecycle.context import ReconcileContext, is_finished, is_over, is_running
from finetune_operator.lifecycle.messages import tidy
from finetune_operator.lifecycle.policies.sidecars import blocking_containers, sidecar_deadline
from finetune_operator.plan import is_shortage
from finetune_operator.records import ChildJobRecord, ContainerState, PodRecord

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
_CLAIM = re.compile(r'persistentvolumeclaim "[^"]*" not found|unbound immediate PersistentVolumeClaims')
"""What the scheduler says of a claim that no node can cure."""
BROKEN_SECONDS = 900
"""How long something that is broken (an image, a volume, what admission denies) may keep a job from running."""


@dataclass(frozen=True)
class PodWait:
    """Reason that there is no running pod."""

    failure: type[JobFailure]
    """What it becomes if it lasts."""
    message: str
    is_blocked: bool
    """Whether something is wrong, rather than slow."""
    since: datetime
    is_shortage: bool = False
    """Whether it waits for a node or a quota: that is no failure unless the job sets a limit."""


def pod_wait(context: ReconcileContext) -> PodWait | None:
    """Reason that the current Job has no running pod; None where it runs, is suspended, or has ended."""
    job = context.job
    if job is None or job.deleting or job.suspend or is_finished(job) or context.is_suspending:
        return None
    if job.started is None or job.condition("Suspended") is not None:
        return None  # the Job controller has not begun, or not yet gone on
    pod = context.pod
    if pod is not None and (names := blocking_containers(pod)):
        message = f"the trainer of pod {pod.name} has ended, and {_containers(names)} not; the pod is being ended"
        return PodWait(PodNotStarted, message, is_blocked=False, since=sidecar_deadline(pod))
    since = podless_since(context)
    if pod is None or since is not None:
        return _for_its_pod(context, job, since or job.started)
    if is_running(pod) or pod.deleting:
        return None
    return _for_its_start(pod, check=context.mode is Mode.VALIDATE)


def podless_since(context: ReconcileContext) -> datetime | None:
    """Since when the Job controller is due to create a pod; None where there is one, or none is due."""
    job, pod = context.job, context.pod
    if job is None or job.deleting or job.suspend or is_finished(job) or context.is_suspending or job.started is None:
        return None
    if job.condition("Suspended") is not None or (pod is not None and (not is_over(pod) or blocking_containers(pod))):
        return None
    return max(job.started, _after_backoff(context))


def start_limit(context: ReconcileContext, *, is_shortage: bool) -> int:
    """Seconds allowed; 0 is unlimited. By default broken pods have a limit, scarce resources none.

    A job with a checkpoint is never ended by waiting: what it has done would be lost for it.
    """
    limit = context.spec.run_policy.pre_running_deadline_seconds
    if context.stored.checkpoints:
        return 0
    return limit if limit is not None else 0 if is_shortage else BROKEN_SECONDS


def start_deadline(context: ReconcileContext, wait: PodWait) -> datetime | None:
    """Deadline by `runPolicy.preRunningDeadlineSeconds`; None without one."""
    limit = start_limit(context, is_shortage=wait.is_shortage)
    return wait.since + timedelta(seconds=limit) if limit else None


def _for_its_pod(context: ReconcileContext, job: ChildJobRecord, since: datetime) -> PodWait:
    """Reason that the Job controller creates no pod, as last looked up."""
    refused = _refused_pod(context, job)
    if not job.parallelism:
        patch = f'kubectl patch job {job.name} -p \'{{"spec":{{"parallelism":1}}}}\''
        message = f"Job {job.name} makes no pods: something set its spec.parallelism to 0; {patch} releases it"
        return PodWait(PodNotStarted, message, is_blocked=True, since=since, is_shortage=True)
    if not refused:
        message = f"Job {job.name} has made no pod yet; kubectl describe job {job.name} says why"
        return PodWait(PodNotStarted, message, is_blocked=False, since=since)
    message = f"Job {job.name} can't make its pod: {tidy(refused, _MESSAGE)}"
    return PodWait(PodNotStarted, message, is_blocked=True, since=since, is_shortage=is_shortage(refused))


def _refused_pod(context: ReconcileContext, job: ChildJobRecord) -> str:
    """The API server's refusal of the pod, where it was looked up and is newer than the newest pod."""
    known = context.snapshot.found
    if known is None or known.job_uid != job.uid or known.refused_at is None:
        return ""
    return known.refused if not context.pods or known.refused_at >= context.pods[-1].created else ""


def _after_backoff(context: ReconcileContext) -> datetime:
    """End of the Job controller's exponential back-off after the last pod."""
    if not context.pods:
        return context.finetune_job.created
    last = context.pods[-1]
    ended = (last.container.ended if last.container else None) or last.created
    return ended + min(_FIRST_BACKOFF * 2.0 ** min(len(context.pods) - 1, 6), _LONGEST_BACKOFF)


def _for_its_start(pod: PodRecord, *, check: bool) -> PodWait:
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status != "True":
        is_check = ", the check before training, which runs under checkProfile," if check else ""
        why = tidy(scheduled.message, _MESSAGE) or "the scheduler found no node"
        if _CLAIM.search(scheduled.message):
            message = f"pod {pod.name}{is_check} waits for a volume: {why}"
            return PodWait(PodNotStarted, message, is_blocked=True, since=pod.created)
        message = f"pod {pod.name}{is_check} waits for a node: {why}"
        return PodWait(PodUnschedulable, message, is_blocked=True, since=pod.created, is_shortage=True)
    found = next(_broken(pod), None)
    if found is not None:
        return found
    at_work = [it.name for it in pod.others if it.is_init and it.container.state is ContainerState.RUNNING]
    waits = f"init container {at_work[0]}, which runs" if at_work else "its image and volumes"
    message = f"pod {pod.name} waits for {waits}; kubectl describe pod {pod.name} has more"
    return PodWait(PodNotStarted, message, is_blocked=False, since=pod.created)


def _broken(pod: PodRecord) -> Iterator[PodWait]:
    """Problems of waiting containers: the trainer's, or those it depends on."""
    named = [(f"{'init ' if it.is_init else ''}container {it.name} of ", it.container) for it in pod.others]
    for name, container in [("", pod.container), *named]:
        if container is None or container.state is not ContainerState.WAITING:
            continue
        detail = f": {tidy(container.message, _MESSAGE)}" if container.message else ""
        who, why = f"{name}pod {pod.name}", f"({container.reason}){detail}"
        if container.reason in _IMAGE:
            yield PodWait(ImageUnavailable, f"{who} can't get its image {why}", is_blocked=True, since=pod.created)
        elif container.reason in _BROKEN:
            yield PodWait(PodNotStarted, f"{who} can't start {why}", is_blocked=True, since=pod.created)


def _containers(names: tuple[str, ...]) -> str:
    return f"container {names[0]} has" if len(names) == 1 else f"containers {', '.join(names)} have"
