"""Actions on the children of an unfinished job: create, suspend, resume, patch, replace.

What holds evidence (a Job that ended, a stalled pod) goes only once the stored status tells what there was to see.
"""

from finetune_api.failures import Stalled
from finetune_operator.labels import SUSPENDED
from finetune_operator.lifecycle.context import ReconcileContext, is_finished, is_over
from finetune_operator.lifecycle.decide.job_outcome import pods_may_be_late
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, ends_are_recorded
from finetune_operator.lifecycle.observe.checkpoints import request
from finetune_operator.lifecycle.observe.dependencies import dependency_wait
from finetune_operator.lifecycle.policies.acceptance import job_inputs_for
from finetune_operator.lifecycle.policies.active_deadline import job_seconds, remaining_seconds
from finetune_operator.lifecycle.policies.sidecars import sidecar_actions
from finetune_operator.lifecycle.policies.stuck_pods import replacement
from finetune_operator.manifests.job import child_job
from finetune_operator.manifests.names import child_labels, child_name
from finetune_operator.plan import CreateJob, DeleteJob, DeletePod, PatchJob, RestoreLabels, Write
from finetune_operator.records import ChildJobRecord, Json

_CLOSE_ENOUGH = 10  # seconds between the Job's start as planned and as it was: not worth a patch


def child_actions(context: ReconcileContext, history: AttemptHistory) -> tuple[Write, ...]:
    """The actions in order."""
    job = context.job
    if job is None and context.orphaned_pods:
        return _strays(context, history)
    if job is None:
        return _creation(context)
    if job.deleting:
        return replacement(context, history)
    if pods_may_be_late(context) is not None:
        return ()
    if is_finished(job):
        return (DeleteJob(job.name, job.uid),) if ends_are_recorded(context, history) else ()
    if _is_overruled(context, job):
        return (DeleteJob(job.name, job.uid),)  # `suspend` has another owner, who would resume the Job at once
    tended = (*_adjusted(context, job), *_stalled(context, history), *request(context), *replacement(context, history))
    return (*tended, *sidecar_actions(context, history))


def _creation(context: ReconcileContext) -> tuple[Write, ...]:
    refused = context.snapshot.refusal
    if dependency_wait(context) is not None or (refused is not None and context.now < refused.next_try):
        return ()
    if context.is_suspending and not _is_claimed(context):
        return ()
    return (CreateJob(child_job(job_inputs_for(context, remaining_seconds(context)))),)


def _is_claimed(context: ReconcileContext) -> bool:
    """Whether a Job may be ours that was created by an operator killed before it could record it.

    Creating it once more shows whether it is; only then is it known, and can be suspended.
    """
    name = child_name(context.identity, context.mode)
    return any(job.name == name and job.owner_uid == context.finetune_job.uid for job in context.snapshot.jobs)


def _strays(context: ReconcileContext, history: AttemptHistory) -> tuple[Write, ...]:
    """Pods whose Job is not in the cache: it lost its labels, or is gone, and they must end first."""
    at_work = [pod for pod in context.orphaned_pods if not pod.deleting]
    labels = child_labels(context.identity, context.mode)
    unseen = {pod.owner_uid for pod in at_work} - context.snapshot.vanished - {""}
    if unseen:
        name = child_name(context.identity, context.mode)
        return tuple(RestoreLabels(name, uid, labels) for uid in sorted(unseen))
    return (*(DeletePod(pod.name, pod.uid) for pod in at_work), *replacement(context, history))


def _adjusted(context: ReconcileContext, job: ChildJobRecord) -> tuple[Write, ...]:
    """Current settings of `runPolicy`, in one patch."""
    spec: Json = {}
    wants = _wanted_suspension(context, job)
    if wants is not None:
        spec["suspend"] = wants
    if job.backoff_limit != context.spec.run_policy.backoff_limit:
        spec["backoffLimit"] = context.spec.run_policy.backoff_limit
    seconds = _deadline_to_set(context, job, suspends=job.suspend if wants is None else wants)
    if not _is_close(job.active_deadline_seconds, seconds):
        spec["activeDeadlineSeconds"] = seconds
    if not spec:
        return ()
    marked: Json = {} if wants is None else {"metadata": {"annotations": {SUSPENDED: "runPolicy" if wants else None}}}
    return (PatchJob(job.name, job.uid, {**marked, "spec": spec}),)


def _wanted_suspension(context: ReconcileContext, job: ChildJobRecord) -> bool | None:
    """Value of `suspend` to write; None where it is another controller's, or was written for this request.

    A Job that others hold stays held, and one that others let go in spite of the wish is replaced (`_is_overruled`).
    """
    if context.is_suspending:
        return None if job.suspend or job.is_own_suspension else True
    return False if context.is_own_suspension and not context.is_queued else None


def _is_overruled(context: ReconcileContext, job: ChildJobRecord) -> bool:
    """Whether another controller runs the Job though its user suspended it: Kueue, or a later writer."""
    return context.is_suspending and (context.is_queued or (job.is_own_suspension and not job.suspend))


def _deadline_to_set(context: ReconcileContext, job: ChildJobRecord, *, suspends: bool) -> int | None:
    """The value of `activeDeadlineSeconds` to write.

    None from a suspension until the Job has begun anew: at a resumption the Job controller looks at the deadline before
    it resets the start, so what is left of the budget would seem used up.
    """
    has_stale_start = job.started is not None and (job.suspend or job.condition("Suspended") is not None)
    if has_stale_start or (suspends and job.started is not None):
        return None
    return job.active_deadline_seconds if context.is_suspending else job_seconds(context)


def _is_close(has: int | None, wants: int | None) -> bool:
    if has is None or wants is None:
        return has == wants
    return abs(has - wants) <= _CLOSE_ENOUGH


def _stalled(context: ReconcileContext, history: AttemptHistory) -> tuple[Write, ...]:
    pod, last = context.pod, history.last
    if pod is None or last is None or last.pod != pod.name or last.reason != Stalled.code:
        return ()
    is_done = pod.deleting or is_over(pod) or not ends_are_recorded(context, history)
    return () if is_done else (DeletePod(pod.name, pod.uid),)
