"""Failures of jobs whose dependencies have no usable result."""

from datetime import datetime, timedelta

from finetune_api.failures import ParentUnusable
from finetune_api.outcome import FailureInfo
from finetune_api.status import Phase, Status
from finetune_operator.codec import read_status
from finetune_operator.lifecycle.context import ReconcileContext, condition
from finetune_operator.lifecycle.messages import failure_info
from finetune_operator.lifecycle.observe.dependencies import (
    MISSING,
    dependency_wait,
    ended_parents,
    field_that_names,
    is_continued,
    pinned_results,
    what_is_taken,
)
from finetune_operator.lifecycle.policies.start_deadline import start_limit
from finetune_operator.records import FineTuneJobRecord

PARENTS_BYTES = 8 * 1024
"""Room for all parents in a status, as JSON: what is pinned is never cut."""


def parent_failure(context: ReconcileContext) -> FailureInfo | None:
    """Failure of a job that can never get all results; None where it may."""
    wait = dependency_wait(context)
    if wait is None:
        return None
    unusable = next((why for parent in ended_parents(context) if (why := _unusable(context, parent)) is not None), None)
    if unusable is not None:
        return unusable
    size = sum(
        len(parent.model_dump_json(by_alias=True, exclude_none=True).encode()) for parent in pinned_results(context)
    )
    if size > PARENTS_BYTES:
        message = f"the results to start from take {size} bytes of the status, at most {PARENTS_BYTES} fit"
        return failure_info(ParentUnusable, message, "name fewer at once, or let those jobs have a shorter output.uri")
    deadline = missing_deadline(context)
    if wait.reason == MISSING and deadline is not None and context.now >= deadline:
        return failure_info(ParentUnusable, wait.message)
    return None


def missing_deadline(context: ReconcileContext) -> datetime | None:
    """Deadline for a dependency that does not exist: the time that a pod may take to start."""
    limit, reported = start_limit(context, is_shortage=False), condition(context.stored, "Progressing")
    if not limit or reported is None or reported.reason != MISSING:
        return None
    return reported.last_transition_time + timedelta(seconds=limit)


def _unusable(context: ReconcileContext, parent: FineTuneJobRecord) -> FailureInfo | None:
    name, status, where = parent.name, read_status(parent), field_that_names(context, parent.name)
    if is_continued(context, name):
        return _without_checkpoints(context, parent, status)
    if status.phase is Phase.GATE_FAILED:
        model = status.artifacts.model if status.artifacts is not None else ""
        hint = f"fix that job; or take its model as it is, by {where}: {model}" if model else "fix that job"
        return failure_info(
            ParentUnusable, f"FineTuneJob {name} missed a gate: its model is not as good as asked", hint
        )
    if status.phase is Phase.FAILED:
        code = f" ({status.failure.code})" if status.failure is not None else ""
        hint = f"kubectl describe finetunejob {name} says why; create it again under another name, or fix {where}"
        return failure_info(ParentUnusable, f"FineTuneJob {name} failed{code}: it has no result", hint)
    if what_is_taken(context, parent) is None:
        return failure_info(ParentUnusable, f"FineTuneJob {name} has no verified result", "create it again")
    return None


def _without_checkpoints(context: ReconcileContext, parent: FineTuneJobRecord, status: Status) -> FailureInfo | None:
    """Reason that there are no checkpoints to resume; None where there may be some."""
    name = parent.name
    if status.phase is not Phase.FAILED:
        model = status.artifacts.model if status.artifacts is not None else ""
        named = f"finetunejob://{name}" if status.phase is Phase.SUCCEEDED else model or "its address"
        message = f"FineTuneJob {name} is finished, and its checkpoints ended with it"
        return failure_info(ParentUnusable, message, f"start from its model: spec.model.uri: {named}")
    if what_is_taken(context, parent) is None:
        code = f" ({status.failure.code})" if status.failure is not None else ""
        message = f"FineTuneJob {name} failed{code} before it trained: it has no checkpoint"
        return failure_info(ParentUnusable, message, "remove checkpoints.resumeFrom to start over")
    return None
