"""Outcome of a job: the run's own result takes precedence over limits and cluster events."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.failures import (
    ActiveDeadlineExceeded,
    ContainerCrashed,
    NodeRefusedPod,
    PodRefused,
    TooManyPreemptions,
)
from finetune_api.outcome import FailureInfo
from finetune_api.run_file import Mode
from finetune_api.status import Phase
from finetune_api.termination import Termination
from finetune_operator.lifecycle.context import ReconcileContext, condition, is_finished, is_over
from finetune_operator.lifecycle.messages import failure_info, seconds_text, tidy
from finetune_operator.lifecycle.observe.attempts import AttemptHistory, last_failure, pod_outcomes
from finetune_operator.lifecycle.observe.pod_outcome import (
    GATE_FAILED,
    INTERRUPTIONS,
    NODE_REFUSED,
    SUCCEEDED,
    SUSPENDED,
    failure_by_exit_code,
    node_refusal,
    node_refuses,
)
from finetune_operator.lifecycle.policies.active_deadline import active_deadline
from finetune_operator.lifecycle.policies.dependency_failures import parent_failure
from finetune_operator.lifecycle.policies.start_deadline import pod_wait, start_deadline, start_limit
from finetune_operator.manifests.profile_fields import profile_hint
from finetune_operator.records import ChildJobRecord, ConditionRecord

NOT_CREATED = "JobRefused"
"""Reason of the condition Progressing while the API server refuses the child Job."""
_WATCHES_AGREE = timedelta(seconds=10)


@dataclass(frozen=True)
class JobOutcome:
    """Outcome of a job with its failure."""

    phase: Phase
    failure: FailureInfo | None = None
    termination: Termination | None = None
    """Last words of the pod that decided it."""


def job_outcome(context: ReconcileContext, history: AttemptHistory) -> JobOutcome | None:
    """The outcome of the job; None while it is unfinished."""
    policies: tuple[Callable[[ReconcileContext, AttemptHistory], JobOutcome | None], ...] = (
        _by_its_pods,
        _by_its_parents,
        _by_active_deadline,
        _by_backoff_limit,
        _by_preemptions,
        _by_its_job,
        _by_start_deadline,
        _by_refusal,
    )
    return next((found for policy in policies if (found := policy(context, history)) is not None), None)


def failed(failure: FailureInfo, termination: Termination | None = None) -> JobOutcome:
    """The outcome for `failure`."""
    return JobOutcome(Phase.FAILED, failure, termination)


def pods_may_be_late(context: ReconcileContext) -> datetime | None:
    """Deadline of the wait for a pod's result after its Job has ended: both are watched separately."""
    job, pod = context.job, context.pod
    if job is None or not is_finished(job) or (pod is not None and is_over(pod)):
        return None
    ended = job.condition("Complete") or job.condition("Failed")
    until = ((ended.since if ended else None) or job.completed or job.created) + _WATCHES_AGREE
    return until if until > context.now else None


def may_go_on(context: ReconcileContext, history: AttemptHistory) -> bool:
    """Whether a failed Job may be replaced: it counted failures that do not count by the job's own rules."""
    job = context.job
    ended = job.condition("Failed") if job is not None else None
    if (
        ended is None
        or ended.reason != "BackoffLimitExceeded"
        or history.failures > context.spec.run_policy.backoff_limit
    ):
        return False
    return context.is_suspending or (history.last is not None and history.last.reason in INTERRUPTIONS | {SUSPENDED})


def _by_its_pods(context: ReconcileContext, _: AttemptHistory) -> JobOutcome | None:
    for _pod, outcome in pod_outcomes(context):
        if outcome.is_final and outcome.failure is not None:
            return failed(outcome.failure, outcome.termination)
        if context.mode is Mode.TRAIN and outcome.reason == SUCCEEDED:
            return JobOutcome(Phase.SUCCEEDED, None, outcome.termination)
        if outcome.reason == GATE_FAILED:
            return JobOutcome(Phase.GATE_FAILED, None, outcome.termination)
    return None


def _by_its_parents(context: ReconcileContext, _: AttemptHistory) -> JobOutcome | None:
    failure = parent_failure(context)
    return failed(failure) if failure is not None else None


def _by_active_deadline(context: ReconcileContext, _: AttemptHistory) -> JobOutcome | None:
    deadline = active_deadline(context)
    return failed(_too_long(context)) if deadline is not None and context.now >= deadline else None


def _too_long(context: ReconcileContext) -> FailureInfo:
    limit = seconds_text(context.spec.run_policy.active_deadline_seconds)
    hint = "raise runPolicy.activeDeadlineSeconds in a new job, or train for fewer epochs"
    return failure_info(ActiveDeadlineExceeded, f"the job was active for {limit}, which is its limit", hint)


def _by_backoff_limit(context: ReconcileContext, history: AttemptHistory) -> JobOutcome | None:
    limit = context.spec.run_policy.backoff_limit
    if history.failures <= limit:
        return None
    failure = last_failure(context, history)
    message = f"{failure.message} ({history.failures} failed attempts, runPolicy.backoffLimit is {limit})"
    return failed(failure.model_copy(update={"message": tidy(message)}))


def _by_preemptions(context: ReconcileContext, history: AttemptHistory) -> JobOutcome | None:
    limit = context.spec.run_policy.max_preemptions
    if history.preemptions <= limit:
        return None
    if history.last is not None and history.last.reason == NODE_REFUSED:
        return failed(_refused_by_nodes(context, history.preemptions))
    message = (
        f"the job was preempted, evicted or stopped {history.preemptions} times; runPolicy.maxPreemptions is {limit}"
    )
    hint = "run it with a higher priority or on nodes that stay, or raise runPolicy.maxPreemptions"
    return failed(failure_info(TooManyPreemptions, message, hint))


def _refused_by_nodes(context: ReconcileContext, times: int) -> FailureInfo:
    pod = context.pod
    more = f" ({times} interruptions, runPolicy.maxPreemptions is {context.spec.run_policy.max_preemptions})"
    if pod is not None and node_refuses(pod):
        return node_refusal(pod, more)
    return failure_info(NodeRefusedPod, f"the last node would not start the pod{more}")


def _by_its_job(context: ReconcileContext, history: AttemptHistory) -> JobOutcome | None:
    job = context.job
    ended = job.condition("Failed") if job is not None and not job.deleting else None
    if job is None or ended is None or pods_may_be_late(context) is not None or may_go_on(context, history):
        return None
    if ended.reason == "DeadlineExceeded":
        return failed(_too_long(context))
    return failed(_by_exit_code(job, ended) or last_failure(context, history))


def _by_exit_code(job: ChildJobRecord, ended: ConditionRecord) -> FailureInfo | None:
    """Failure by the exit code in the Job's condition, where the pod is gone."""
    found = re.search(r"exit code (\d{1,3})", ended.message) if ended.reason == "PodFailurePolicy" else None
    if found is None:
        return None
    known = failure_by_exit_code(int(found[1]))
    return failure_info(known or ContainerCrashed, f"Job {job.name} failed: {ended.message}")


def _by_start_deadline(context: ReconcileContext, _: AttemptHistory) -> JobOutcome | None:
    wait = pod_wait(context)
    deadline = start_deadline(context, wait) if wait is not None else None
    if wait is None or deadline is None or context.now < deadline:
        return None
    limit = seconds_text(start_limit(context, is_shortage=wait.is_shortage))
    hint = "fix that and create the job again, or raise runPolicy.preRunningDeadlineSeconds"
    if context.mode is Mode.VALIDATE:
        hint = (
            "the platform team sets tolerations, node selector and requests of the check in checkProfile; then " + hint
        )
    return failed(failure_info(wait.failure, f"no pod ran within {limit}: {wait.message}", hint))


def _by_refusal(context: ReconcileContext, _: AttemptHistory) -> JobOutcome | None:
    refused = context.snapshot.refusal
    if refused is None or context.job is not None or context.is_suspending:
        return None
    deadline = refusal_deadline(context)
    if not refused.is_final and (deadline is None or context.now < deadline):
        return None
    message = f"the API server refused the child Job: {refused.message}"
    return failed(failure_info(PodRefused, message, profile_hint(refused.message, profile_of(context))))


def profile_of(context: ReconcileContext) -> str:
    """Settings-file name of the next pod's profile."""
    return "checkProfile" if context.mode is Mode.VALIDATE else f"profiles.{context.spec.compute.profile}"


def refusal_deadline(context: ReconcileContext) -> datetime | None:
    """Deadline for a refused child Job: the time that a pod may take to start."""
    refused, reported = context.snapshot.refusal, condition(context.stored, "Progressing")
    limit = start_limit(context, is_shortage=refused is not None and refused.is_shortage)
    if not limit or reported is None or reported.reason != NOT_CREATED:
        return None
    return reported.last_transition_time + timedelta(seconds=limit)
