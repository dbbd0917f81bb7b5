"""What is done to the children of a job that goes on: create, suspend, resume, adjust, replace.

What holds evidence (a Job that ended, a stalled pod) goes only once the stored status tells what there was to see.
"""

from finetune_api.failures import Stalled
from finetune_operator.labels import SUSPENDED
from finetune_operator.lifecycle.context import Case, is_finished, is_over
from finetune_operator.lifecycle.decide.job_outcome import pods_may_be_late
from finetune_operator.lifecycle.observe.attempts import Tally, tells_the_same
from finetune_operator.lifecycle.observe.checkpoints import request
from finetune_operator.lifecycle.observe.dependencies import awaited
from finetune_operator.lifecycle.policies.acceptance import order_for
from finetune_operator.lifecycle.policies.active_deadline import job_seconds, remaining_seconds
from finetune_operator.lifecycle.policies.sidecars import leftovers
from finetune_operator.lifecycle.policies.stuck_pods import replacement
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.names import child_labels, child_name
from finetune_operator.plan import CreateJob, DeleteJob, DeletePod, PatchJob, RestoreLabels, Write
from finetune_operator.records import JobRecord, Json

_CLOSE_ENOUGH = 10  # seconds between the Job's start as planned and as it was: not worth a patch


def upkeep(case: Case, now: Tally) -> tuple[Write, ...]:
    """The writes, in order."""
    job = case.job
    if job is None and case.strays:
        return _strays(case, now)
    if job is None:
        return _creation(case)
    if job.deleting:
        return replacement(case, now)
    if pods_may_be_late(case) is not None:
        return ()
    if is_finished(job):
        return (DeleteJob(job.name, job.uid),) if tells_the_same(case, now) else ()
    if _is_overruled(case, job):
        return (DeleteJob(job.name, job.uid),)  # `suspend` has another owner, who would resume the Job at once
    tended = (*_adjusted(case, job), *_stalled(case, now), *request(case), *replacement(case, now))
    return (*tended, *leftovers(case, now))


def _creation(case: Case) -> tuple[Write, ...]:
    refused = case.world.refusal
    if awaited(case) is not None or (refused is not None and case.world.now < refused.next_try):
        return ()
    if case.is_suspending and not _is_claimed(case):
        return ()
    return (CreateJob(child_job(order_for(case, remaining_seconds(case)))),)


def _is_claimed(case: Case) -> bool:
    """Whether there is a Job that may be ours, of an operator that was killed before it could say so.

    Creating it once more shows whether it is; only then is it known, and can be suspended.
    """
    name = child_name(case.identity, case.mode)
    return any(job.name == name and job.owner_uid == case.world.tune.uid for job in case.world.jobs)


def _strays(case: Case, now: Tally) -> tuple[Write, ...]:
    """Pods whose Job is not seen. It may have lost its labels; or it is gone, and they have to end first."""
    at_work = [pod for pod in case.strays if not pod.deleting]
    labels = child_labels(case.identity, case.mode)
    unseen = {pod.owner_uid for pod in at_work} - case.world.vanished - {""}
    if unseen:
        name = child_name(case.identity, case.mode)
        return tuple(RestoreLabels(name, uid, labels) for uid in sorted(unseen))
    return (*(DeletePod(pod.name, pod.uid) for pod in at_work), *replacement(case, now))


def _adjusted(case: Case, job: JobRecord) -> tuple[Write, ...]:
    """What `runPolicy` says by now, in one patch."""
    spec: Json = {}
    wants = _wanted_suspension(case, job)
    if wants is not None:
        spec["suspend"] = wants
    if job.backoff_limit != case.spec.run_policy.backoff_limit:
        spec["backoffLimit"] = case.spec.run_policy.backoff_limit
    seconds = _deadline_to_set(case, job, suspends=job.suspend if wants is None else wants)
    if not _is_close(job.active_deadline_seconds, seconds):
        spec["activeDeadlineSeconds"] = seconds
    if not spec:
        return ()
    marked: Json = {} if wants is None else {"metadata": {"annotations": {SUSPENDED: "runPolicy" if wants else None}}}
    return (PatchJob(job.name, job.uid, {**marked, "spec": spec}),)


def _wanted_suspension(case: Case, job: JobRecord) -> bool | None:
    """What `suspend` has to become; None where that is not ours to write: it is written once for each wish.

    A Job that others hold stays held, and one that others let go in spite of the wish is replaced (`_is_overruled`).
    """
    if case.is_suspending:
        return None if job.suspend or job.is_own_suspension else True
    return False if case.is_own_suspension and not case.is_queued else None


def _is_overruled(case: Case, job: JobRecord) -> bool:
    """Whether somebody lets the Job run though its user wants it suspended: Kueue, or whoever wrote after us."""
    return case.is_suspending and (case.is_queued or (job.is_own_suspension and not job.suspend))


def _deadline_to_set(case: Case, job: JobRecord, *, suspends: bool) -> int | None:
    """What `activeDeadlineSeconds` has to be now.

    None from a suspension until the Job has begun anew: at a resumption the Job controller looks at the deadline before
    it resets the start, so what is left of the budget would seem used up.
    """
    has_stale_start = job.started is not None and (job.suspend or job.condition("Suspended") is not None)
    if has_stale_start or (suspends and job.started is not None):
        return None
    return job.active_deadline_seconds if case.is_suspending else job_seconds(case)


def _is_close(has: int | None, wants: int | None) -> bool:
    if has is None or wants is None:
        return has == wants
    return abs(has - wants) <= _CLOSE_ENOUGH


def _stalled(case: Case, now: Tally) -> tuple[Write, ...]:
    pod, last = case.pod, now.last
    if pod is None or last is None or last.pod != pod.name or last.reason != Stalled.code:
        return ()
    is_done = pod.deleting or is_over(pod) or not tells_the_same(case, now)
    return () if is_done else (DeletePod(pod.name, pod.uid),)
