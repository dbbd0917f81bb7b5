"""Attempts: pods of the training Job, each counted once even when it vanishes."""

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_api.failures import PodLost, Stalled, catalogue
from finetune_api.outcome import FailureInfo
from finetune_api.run_file import Mode
from finetune_api.status import Attempt
from finetune_api.termination import Termination
from finetune_operator.lifecycle.context import ReconcileContext, is_running
from finetune_operator.lifecycle.messages import failure_info, seconds_text
from finetune_operator.lifecycle.observe.pod_outcome import (
    INTERRUPTIONS,
    LOST,
    PREEMPTED,
    STOPPED,
    SUSPENDED,
    UNCOUNTED,
    PodOutcome,
    node_refusal,
    node_refuses,
    pod_outcome,
)
from finetune_operator.lifecycle.observe.stall import is_stalled
from finetune_operator.records import PodRecord

NEWEST = 16
"""Attempts that a status holds."""


@dataclass(frozen=True)
class AttemptHistory:
    """Attempts and their counts, updated from the stored status."""

    attempts: tuple[Attempt, ...]
    failures: int
    preemptions: int

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None


def attempt_history(context: ReconcileContext) -> AttemptHistory:
    """Merge stored attempts with pods. Pods of checks are no attempts."""
    stored = context.stored
    known = tuple(stored.attempts)
    if context.mode is Mode.VALIDATE:
        return AttemptHistory(known, stored.failures, stored.preemptions)
    merged = [*(_merged(context, attempt) for attempt in known), *_new(context)]
    before = {attempt.number: attempt.reason for attempt in known}
    ended = [attempt for attempt in merged if attempt.reason and not before.get(attempt.number)]
    kinds = [_counts_as(context, attempt) for attempt in ended]
    return AttemptHistory(
        tuple(merged[-NEWEST:]),
        stored.failures + kinds.count("failure"),
        stored.preemptions + kinds.count("preemption"),
    )


def ends_are_recorded(context: ReconcileContext, history: AttemptHistory) -> bool:
    """Whether the stored status records all endings, so that their sources may be dropped."""
    stored = {(attempt.number, attempt.reason) for attempt in context.stored.attempts}
    return all((attempt.number, attempt.reason) in stored for attempt in history.attempts if attempt.reason)


def pod_outcomes(context: ReconcileContext) -> Iterator[tuple[PodRecord, PodOutcome]]:
    """Outcomes of terminated pods, newest first."""
    for pod in reversed(context.pods):
        outcome = _outcome(context, pod)
        if outcome is not None:
            yield pod, outcome


def last_failure(context: ReconcileContext, history: AttemptHistory) -> FailureInfo:
    """Failure of the newest failed attempt, by its pod where that still exists."""
    by_pod = {pod.name: outcome.failure for pod, outcome in pod_outcomes(context)}
    failed = [attempt for attempt in history.attempts if attempt.reason not in UNCOUNTED | INTERRUPTIONS]
    if not failed:
        newest = next(filter(None, by_pod.values()), None)
        if newest is None and context.pod is not None and node_refuses(context.pod):
            newest = node_refusal(context.pod)
        return newest or failure_info(PodLost, "the pod is gone, and with it the reason why it ended")
    attempt = failed[-1]
    if attempt.reason == Stalled.code:
        limit = seconds_text(context.spec.run_policy.stall_seconds)
        hint = "raise runPolicy.stallSeconds if steps or downloads really take that long"
        return failure_info(Stalled, f"attempt {attempt.number} made no progress for {limit}", hint)
    if attempt.reason == LOST:
        return failure_info(PodLost, f"pod {attempt.pod} vanished without saying how it ended")
    known = catalogue().get(attempt.reason, PodLost)
    return by_pod.get(attempt.pod) or failure_info(known, f"attempt {attempt.number} ended with {attempt.reason}")


def _merged(context: ReconcileContext, attempt: Attempt) -> Attempt:
    """The stored attempt updated by its pod; an ended one is unchanged."""
    if attempt.reason:
        return attempt
    pod = next((pod for pod in context.pods if pod.name == attempt.pod), None)
    if pod is None:
        return attempt.model_copy(update={"reason": _asked(context) or _unseen(context), "ended": context.now})
    return _observed(context, pod, attempt)


def _new(context: ReconcileContext) -> Iterator[Attempt]:
    """Attempts missing from the stored status: pods that started, or ended without having started."""
    known = context.stored.attempts
    names, number = {attempt.pod for attempt in known}, known[-1].number if known else 0
    for pod in context.pods:
        if pod.name in names or _is_forgotten(pod, known):
            continue
        if is_running(pod) or _outcome(context, pod) is not None:
            number += 1
            yield _observed(context, pod, Attempt(number=number, pod=pod.name))


def _is_forgotten(pod: PodRecord, known: list[Attempt]) -> bool:
    """Whether the pod belongs to an attempt dropped from the bounded list."""
    dropped = bool(known) and known[0].number > 1
    return dropped and known[0].started is not None and pod.created < known[0].started


def _observed(context: ReconcileContext, pod: PodRecord, attempt: Attempt) -> Attempt:
    started = (pod.container.started if pod.container else None) or pod.created
    outcome = _outcome(context, pod)
    known = _known(context, pod, attempt)
    if outcome is None:
        stalled = pod is context.pod and is_stalled(context)
        ended = {"reason": Stalled.code, "ended": context.now} if stalled else {}
        return attempt.model_copy(update={"started": started, **known, **ended})
    termination = outcome.termination
    facts = _last_facts(termination, known) if termination else known
    ended_at = (pod.container.ended if pod.container else None) or context.now
    return attempt.model_copy(
        update={
            "started": started,
            "ended": ended_at,
            "reason": outcome.reason,
            "exit_code": _byte(outcome.exit_code),
            **facts,
        }
    )


def _last_facts(termination: Termination, known: dict[str, int | None]) -> dict[str, int | None]:
    """Step and resumption by the termination message; of what it leaves out, the last report counts."""
    resumed = termination.resumed_from
    return {
        "steps": max(termination.steps, known["steps"] or 0),
        "resumed_from": known["resumed_from"] if resumed is None else resumed,
    }


def _outcome(context: ReconcileContext, pod: PodRecord) -> PodOutcome | None:
    return pod_outcome(pod, context.finetune_job.uid, context.mode, asked=_asked(context))


def _asked(context: ReconcileContext) -> str:
    """Reason of a pod's end on request through its Job."""
    if context.is_suspending:
        return SUSPENDED
    if not context.is_held:
        return ""
    return PREEMPTED if context.is_queued else SUSPENDED


def _unseen(context: ReconcileContext) -> str:
    """Reason of an unobserved end: Jobs count failures before they release a pod."""
    job = context.job
    if job is None or job.deleting:
        return STOPPED  # somebody deleted the Job, and the pod with it
    if job.condition("Complete") is not None:
        return LOST
    of_this_job = [
        a for a in context.stored.attempts if a.reason and a.started is not None and a.started >= job.created
    ]
    failures = [a for a in of_this_job if a.reason not in UNCOUNTED | INTERRUPTIONS]
    return LOST if job.failed > len(failures) else STOPPED


def _counts_as(context: ReconcileContext, attempt: Attempt) -> str:
    if attempt.reason in UNCOUNTED:
        return ""
    if attempt.reason in INTERRUPTIONS:
        return "preemption"
    # A Job that is complete did its work: that its pod is gone is not the run's failure.
    complete = context.job is not None and context.job.condition("Complete") is not None
    return "preemption" if attempt.reason == LOST and complete else "failure"


def _known(context: ReconcileContext, pod: PodRecord, attempt: Attempt) -> dict[str, int | None]:
    """Last reported step of the attempt, and the step that it resumed from."""
    live = context.live if pod is context.pod else None
    if live is None:
        return {"steps": attempt.steps, "resumed_from": attempt.resumed_from}
    step = live.progress.step if live.progress is not None else 0
    resumed = live.resumed_from if live.resumed_from is not None else attempt.resumed_from
    return {"steps": max(attempt.steps, step), "resumed_from": resumed}


def _byte(code: int | None) -> int | None:
    return code if code is not None and 0 <= code <= 255 else None
