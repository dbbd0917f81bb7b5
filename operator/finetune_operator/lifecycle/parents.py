"""`model.uri: finetunejob://name`: waits until that job has a result, then pins it for good."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.failures import ParentUnusable, Problem
from finetune_api.outcome import FailureInfo
from finetune_api.parent import Parent
from finetune_api.status import Phase, Status
from finetune_api.uris import parent_job
from finetune_operator.lifecycle.case import TERMINAL, Case, condition
from finetune_operator.lifecycle.wording import failure_info
from finetune_operator.parsed import read_output, read_status
from finetune_operator.records import TuneRecord

MISSING, NOT_FINISHED, FINISHED = "ParentMissing", "ParentNotFinished", "ParentFinished"
"""Reasons of the condition Progressing while a job waits for another."""
_WHERE = "spec.model.uri"
_AT_REST = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases that are named; all others are one, so that the status need not be written for each."""


@dataclass(frozen=True)
class Awaited:
    """What keeps the job from beginning."""

    reason: str
    message: str


def pinned(case: Case) -> Parent | None:
    """The parent as the status holds it from now on; None while there is nothing to hold."""
    if case.stored.parent is not None:
        return case.stored.parent
    parent = _parent(case)
    return _result(parent, read_status(parent)) if parent is not None else None


def awaited(case: Case) -> Awaited | None:
    """What the job waits for before its first Job is created."""
    name = parent_job(case.spec.model.uri)
    if not name or case.stored.parent is not None or case.job is not None:
        return None
    parent = _parent(case)
    if parent is None:
        namespace = case.world.tune.namespace
        return Awaited(MISSING, f"there is no FineTuneJob {name} in namespace {namespace}; create it, or mend {_WHERE}")
    status = read_status(parent)
    if status.phase in TERMINAL:
        return Awaited(FINISHED, f"FineTuneJob {name} has ended; its result is looked up")
    how = f"is {status.phase}" if status.phase in _AT_REST else "runs"
    return Awaited(NOT_FINISHED, f"waits for FineTuneJob {name}, which {how}")


def circle(case: Case) -> Problem | None:
    """What is wrong where jobs wait for each other in a circle."""
    names = [tune.name for tune in case.world.ancestors]
    if case.world.tune.uid not in {tune.uid for tune in case.world.ancestors}:
        return None
    way = " -> ".join([case.world.tune.name, *names])
    return Problem(f"these jobs would wait for each other for ever: {way}", _WHERE, "start one of them from a model")


def parent_failure(case: Case) -> FailureInfo | None:
    """Why there will never be a result to begin with; None where there may be one."""
    wait = awaited(case)
    if wait is None:
        return None
    deadline = missing_deadline(case)
    if wait.reason == MISSING and deadline is not None and case.world.now >= deadline:
        return failure_info(ParentUnusable, wait.message)
    parent = _parent(case) if wait.reason == FINISHED else None
    return _unusable(parent, read_status(parent)) if parent is not None else None


def missing_deadline(case: Case) -> datetime | None:
    """When to give up on a parent that is not there: as long as a pod may take to start."""
    limit, told = case.spec.run_policy.pre_running_deadline_seconds, condition(case.stored, "Progressing")
    if not limit or told is None or told.reason != MISSING:
        return None
    return told.last_transition_time + timedelta(seconds=limit)


def _parent(case: Case) -> TuneRecord | None:
    return case.world.ancestors[0] if case.world.ancestors else None


def _result(parent: TuneRecord, status: Status) -> Parent | None:
    """What a parent that succeeded has; None for others."""
    output = read_output(parent)
    if status.phase is not Phase.SUCCEEDED or status.artifacts is None or not status.artifacts.digest or output is None:
        return None
    return Parent(
        name=parent.name,
        uid=parent.uid,
        output=f"{output.uri.rstrip('/')}/{parent.name}/{parent.uid}",
        digest=status.artifacts.digest,
        secret_ref=output.secret_ref,
    )


def _unusable(parent: TuneRecord, status: Status) -> FailureInfo | None:
    name = parent.name
    if status.phase is Phase.GATE_FAILED:
        model = status.artifacts.model if status.artifacts is not None else ""
        hint = f"mend that job; or take its model as it is, by {_WHERE}: {model}" if model else "mend that job"
        return failure_info(
            ParentUnusable, f"FineTuneJob {name} missed a gate: its model is not as good as asked", hint
        )
    if status.phase is Phase.FAILED:
        code = f" ({status.failure.code})" if status.failure is not None else ""
        hint = f"kubectl describe finetunejob {name} tells why; create it again under another name, or mend {_WHERE}"
        return failure_info(ParentUnusable, f"FineTuneJob {name} failed{code}: it has no result", hint)
    if _result(parent, status) is None:
        return failure_info(ParentUnusable, f"FineTuneJob {name} has no verified result", "create it again")
    return None
