"""Attempts: the pods of the training Job, one after another, each counted once even when it vanishes."""

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_api.failures import PodLost, Stalled, catalogue
from finetune_api.outcome import FailureInfo
from finetune_api.run_file import Mode
from finetune_api.status import Attempt
from finetune_operator.lifecycle.context import Case, is_running
from finetune_operator.lifecycle.messages import failure_info, seconds_text
from finetune_operator.lifecycle.observe.pod_outcome import (
    INTERRUPTIONS,
    LOST,
    PREEMPTED,
    STOPPED,
    SUSPENDED,
    UNCOUNTED,
    Ending,
    ending_of,
    node_refusal,
    node_refuses,
)
from finetune_operator.lifecycle.observe.stall import is_stalled
from finetune_operator.records import PodRecord

NEWEST = 16
"""Attempts that a status holds."""


@dataclass(frozen=True)
class Tally:
    """Attempts with what happened since the stored status, and their counts."""

    attempts: tuple[Attempt, ...]
    failures: int
    preemptions: int

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None


def tally(case: Case) -> Tally:
    """Merge the stored attempts with the pods. A check's pods are no attempts."""
    stored = case.stored
    known = tuple(stored.attempts)
    if case.mode is Mode.VALIDATE:
        return Tally(known, stored.failures, stored.preemptions)
    merged = [*(_merged(case, attempt) for attempt in known), *_new(case)]
    before = {attempt.number: attempt.reason for attempt in known}
    ended = [attempt for attempt in merged if attempt.reason and not before.get(attempt.number)]
    kinds = [_counts_as(case, attempt) for attempt in ended]
    return Tally(
        tuple(merged[-NEWEST:]),
        stored.failures + kinds.count("failure"),
        stored.preemptions + kinds.count("preemption"),
    )


def tells_the_same(case: Case, now: Tally) -> bool:
    """Whether the stored status knows of all endings, so that their traces may go."""
    stored = {(attempt.number, attempt.reason) for attempt in case.stored.attempts}
    return all((attempt.number, attempt.reason) in stored for attempt in now.attempts if attempt.reason)


def endings(case: Case) -> Iterator[tuple[PodRecord, Ending]]:
    """Pods that ended, newest first."""
    for pod in reversed(case.pods):
        ending = _ending(case, pod)
        if ending is not None:
            yield pod, ending


def last_failure(case: Case, now: Tally) -> FailureInfo:
    """Why the newest failed attempt failed, in the words of its pod where there still are any."""
    by_pod = {pod.name: ending.failure for pod, ending in endings(case)}
    failed = [attempt for attempt in now.attempts if attempt.reason not in UNCOUNTED | INTERRUPTIONS]
    if not failed:
        newest = next(filter(None, by_pod.values()), None)
        if newest is None and case.pod is not None and node_refuses(case.pod):
            newest = node_refusal(case.pod)
        return newest or failure_info(PodLost, "the pod is gone, and with it the reason why it ended")
    attempt = failed[-1]
    if attempt.reason == Stalled.code:
        limit = seconds_text(case.spec.run_policy.stall_seconds)
        hint = "raise runPolicy.stallSeconds if steps or downloads really take that long"
        return failure_info(Stalled, f"attempt {attempt.number} made no progress for {limit}", hint)
    if attempt.reason == LOST:
        return failure_info(PodLost, f"pod {attempt.pod} vanished without saying how it ended")
    known = catalogue().get(attempt.reason, PodLost)
    return by_pod.get(attempt.pod) or failure_info(known, f"attempt {attempt.number} ended with {attempt.reason}")


def _merged(case: Case, attempt: Attempt) -> Attempt:
    """The stored attempt with what its pod says now; one that has ended stays as it is."""
    if attempt.reason:
        return attempt
    pod = next((pod for pod in case.pods if pod.name == attempt.pod), None)
    if pod is None:
        return attempt.model_copy(update={"reason": _asked(case) or _unseen(case), "ended": case.world.now})
    return _observed(case, pod, attempt)


def _new(case: Case) -> Iterator[Attempt]:
    """Attempts that the stored status does not know: pods that started, or ended without having started."""
    known = case.stored.attempts
    names, number = {attempt.pod for attempt in known}, known[-1].number if known else 0
    for pod in case.pods:
        if pod.name in names or _is_forgotten(pod, known):
            continue
        if is_running(pod) or _ending(case, pod) is not None:
            number += 1
            yield _observed(case, pod, Attempt(number=number, pod=pod.name))


def _is_forgotten(pod: PodRecord, known: list[Attempt]) -> bool:
    """Whether the pod is of an attempt that the bounded list has dropped."""
    dropped = bool(known) and known[0].number > 1
    return dropped and known[0].started is not None and pod.created < known[0].started


def _observed(case: Case, pod: PodRecord, attempt: Attempt) -> Attempt:
    started = (pod.container.started if pod.container else None) or pod.created
    ending = _ending(case, pod)
    known = _known(case, pod, attempt)
    if ending is None:
        stalled = pod is case.pod and is_stalled(case)
        ended = {"reason": Stalled.code, "ended": case.world.now} if stalled else {}
        return attempt.model_copy(update={"started": started, **known, **ended})
    said = ending.termination
    facts = {"steps": said.steps, "resumed_from": said.resumed_from} if said else known
    ended_at = (pod.container.ended if pod.container else None) or case.world.now
    return attempt.model_copy(
        update={
            "started": started,
            "ended": ended_at,
            "reason": ending.reason,
            "exit_code": _byte(ending.exit_code),
            **facts,
        }
    )


def _ending(case: Case, pod: PodRecord) -> Ending | None:
    return ending_of(pod, case.world.tune.uid, case.mode, asked=_asked(case))


def _asked(case: Case) -> str:
    """What the end of a pod is called that its Job was told to free."""
    if case.is_suspending:
        return SUSPENDED
    if not case.is_held:
        return ""
    return PREEMPTED if case.is_queued else SUSPENDED


def _unseen(case: Case) -> str:
    """What the end of a pod is called that nobody saw: its Job counts failures before it lets a pod go."""
    job = case.job
    if job is None or job.deleting:
        return STOPPED  # somebody deleted the Job, and the pod with it
    if job.condition("Complete") is not None:
        return LOST
    of_this_job = [a for a in case.stored.attempts if a.reason and a.started is not None and a.started >= job.created]
    failures = [a for a in of_this_job if a.reason not in UNCOUNTED | INTERRUPTIONS]
    return LOST if job.failed > len(failures) else STOPPED


def _counts_as(case: Case, attempt: Attempt) -> str:
    if attempt.reason in UNCOUNTED:
        return ""
    if attempt.reason in INTERRUPTIONS:
        return "preemption"
    # A Job that is complete did its work: that its pod is gone is not the run's failure.
    complete = case.job is not None and case.job.condition("Complete") is not None
    return "preemption" if attempt.reason == LOST and complete else "failure"


def _known(case: Case, pod: PodRecord, attempt: Attempt) -> dict[str, int | None]:
    """Where the attempt began and how far it came, as far as it has told while it ran."""
    live = case.live if pod is case.pod else None
    if live is None:
        return {"steps": attempt.steps, "resumed_from": attempt.resumed_from}
    step = live.progress.step if live.progress is not None else 0
    resumed = live.resumed_from if live.resumed_from is not None else attempt.resumed_from
    return {"steps": max(attempt.steps, step), "resumed_from": resumed}


def _byte(code: int | None) -> int | None:
    return code if code is not None and 0 <= code <= 255 else None
