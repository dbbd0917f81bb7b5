"""Whether the job has ended, and how. What the run itself said comes before what limits and the cluster say."""

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
from finetune_operator.lifecycle.context import Case, condition, is_finished, is_over
from finetune_operator.lifecycle.messages import failure_info, seconds_text, tidy
from finetune_operator.lifecycle.observe.attempts import Tally, endings, last_failure
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
from finetune_operator.lifecycle.policies.start_deadline import start_deadline, start_limit, waiting
from finetune_operator.records import ConditionRecord, JobRecord

NOT_CREATED = "JobRefused"
"""Reason of the condition Progressing while the API server refuses the child Job."""
_WATCHES_AGREE = timedelta(seconds=10)


@dataclass(frozen=True)
class Verdict:
    """The end of a job."""

    phase: Phase
    failure: FailureInfo | None = None
    said: Termination | None = None
    """Last words of the pod that decided it."""


def verdict(case: Case, now: Tally) -> Verdict | None:
    """How the job has ended; None while it goes on."""
    policies: tuple[Callable[[Case, Tally], Verdict | None], ...] = (
        _by_its_pods,
        _by_its_parents,
        _by_active_deadline,
        _by_backoff_limit,
        _by_preemptions,
        _by_its_job,
        _by_start_deadline,
        _by_refusal,
    )
    return next((found for policy in policies if (found := policy(case, now)) is not None), None)


def failed(failure: FailureInfo, said: Termination | None = None) -> Verdict:
    """The verdict that `failure` makes."""
    return Verdict(Phase.FAILED, failure, said)


def pods_may_be_late(case: Case) -> datetime | None:
    """Until when to wait for a pod's last words though its Job has ended: the two are watched apart."""
    job, pod = case.job, case.pod
    if job is None or not is_finished(job) or (pod is not None and is_over(pod)):
        return None
    ended = job.condition("Complete") or job.condition("Failed")
    until = ((ended.since if ended else None) or job.completed or job.created) + _WATCHES_AGREE
    return until if until > case.world.now else None


def may_go_on(case: Case, now: Tally) -> bool:
    """Whether a Job that failed may be replaced: it counted as failures what is none by the job's own rules."""
    job = case.job
    ended = job.condition("Failed") if job is not None else None
    if ended is None or ended.reason != "BackoffLimitExceeded" or now.failures > case.spec.run_policy.backoff_limit:
        return False
    return case.is_suspending or (now.last is not None and now.last.reason in INTERRUPTIONS | {SUSPENDED})


def _by_its_pods(case: Case, _: Tally) -> Verdict | None:
    for _pod, ending in endings(case):
        if ending.is_final and ending.failure is not None:
            return failed(ending.failure, ending.termination)
        if case.mode is Mode.TRAIN and ending.reason == SUCCEEDED:
            return Verdict(Phase.SUCCEEDED, None, ending.termination)
        if ending.reason == GATE_FAILED:
            return Verdict(Phase.GATE_FAILED, None, ending.termination)
    return None


def _by_its_parents(case: Case, _: Tally) -> Verdict | None:
    failure = parent_failure(case)
    return failed(failure) if failure is not None else None


def _by_active_deadline(case: Case, _: Tally) -> Verdict | None:
    deadline = active_deadline(case)
    return failed(_too_long(case)) if deadline is not None and case.world.now >= deadline else None


def _too_long(case: Case) -> FailureInfo:
    limit = seconds_text(case.spec.run_policy.active_deadline_seconds)
    hint = "raise runPolicy.activeDeadlineSeconds in a new job, or train for fewer epochs"
    return failure_info(ActiveDeadlineExceeded, f"the job was active for {limit}, which is its limit", hint)


def _by_backoff_limit(case: Case, now: Tally) -> Verdict | None:
    limit = case.spec.run_policy.backoff_limit
    if now.failures <= limit:
        return None
    failure = last_failure(case, now)
    message = f"{failure.message} ({now.failures} failed attempts, runPolicy.backoffLimit is {limit})"
    return failed(failure.model_copy(update={"message": tidy(message)}))


def _by_preemptions(case: Case, now: Tally) -> Verdict | None:
    limit = case.spec.run_policy.max_preemptions
    if now.preemptions <= limit:
        return None
    if now.last is not None and now.last.reason == NODE_REFUSED:
        return failed(_refused_by_nodes(case, now.preemptions))
    message = f"the job was preempted, evicted or stopped {now.preemptions} times; runPolicy.maxPreemptions is {limit}"
    hint = "run it with a higher priority or on nodes that stay, or raise runPolicy.maxPreemptions"
    return failed(failure_info(TooManyPreemptions, message, hint))


def _refused_by_nodes(case: Case, times: int) -> FailureInfo:
    pod = case.pod
    more = f" ({times} interruptions, runPolicy.maxPreemptions is {case.spec.run_policy.max_preemptions})"
    if pod is not None and node_refuses(pod):
        return node_refusal(pod, more)
    return failure_info(NodeRefusedPod, f"the last node would not start the pod{more}")


def _by_its_job(case: Case, now: Tally) -> Verdict | None:
    job = case.job
    ended = job.condition("Failed") if job is not None and not job.deleting else None
    if job is None or ended is None or pods_may_be_late(case) is not None or may_go_on(case, now):
        return None
    if ended.reason == "DeadlineExceeded":
        return failed(_too_long(case))
    return failed(_by_exit_code(job, ended) or last_failure(case, now))


def _by_exit_code(job: JobRecord, ended: ConditionRecord) -> FailureInfo | None:
    """What the Job controller remembers of a pod that is gone: its exit code."""
    found = re.search(r"exit code (\d{1,3})", ended.message) if ended.reason == "PodFailurePolicy" else None
    if found is None:
        return None
    known = failure_by_exit_code(int(found[1]))
    return failure_info(known or ContainerCrashed, f"Job {job.name} failed: {ended.message}")


def _by_start_deadline(case: Case, _: Tally) -> Verdict | None:
    wait = waiting(case)
    deadline = start_deadline(case, wait) if wait is not None else None
    if wait is None or deadline is None or case.world.now < deadline:
        return None
    limit = seconds_text(start_limit(case, is_shortage=wait.is_shortage))
    hint = "mend that and create the job again, or raise runPolicy.preRunningDeadlineSeconds"
    if case.mode is Mode.VALIDATE:
        hint = (
            "the platform team sets tolerations, node selector and requests of the check in checkProfile; then " + hint
        )
    return failed(failure_info(wait.failure, f"no pod ran within {limit}: {wait.message}", hint))


def _by_refusal(case: Case, _: Tally) -> Verdict | None:
    refused = case.world.refusal
    if refused is None or case.job is not None or case.is_suspending:
        return None
    deadline = refusal_deadline(case)
    if not refused.is_final and (deadline is None or case.world.now < deadline):
        return None
    return failed(failure_info(PodRefused, f"the API server refused the child Job: {refused.message}"))


def refusal_deadline(case: Case) -> datetime | None:
    """When to give up on a child Job that is refused: as long as a pod may take to start."""
    refused, told = case.world.refusal, condition(case.stored, "Progressing")
    limit = start_limit(case, is_shortage=refused is not None and refused.is_shortage)
    if not limit or told is None or told.reason != NOT_CREATED:
        return None
    return told.last_transition_time + timedelta(seconds=limit)
