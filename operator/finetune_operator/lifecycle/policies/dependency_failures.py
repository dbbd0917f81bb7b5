"""When a job that names others by `finetunejob://name` fails for want of their results."""

from datetime import datetime, timedelta

from finetune_api.failures import ParentUnusable
from finetune_api.outcome import FailureInfo
from finetune_api.status import Phase
from finetune_operator.codec import read_status
from finetune_operator.lifecycle.context import Case, condition
from finetune_operator.lifecycle.messages import failure_info
from finetune_operator.lifecycle.observe.dependencies import MISSING, awaited, ended_parents, field_that_names, pinned
from finetune_operator.lifecycle.policies.start_deadline import start_limit
from finetune_operator.lifecycle.results import result_of
from finetune_operator.records import TuneRecord

PARENTS_BYTES = 8 * 1024
"""Room for all parents in a status, as JSON: what is pinned is never cut."""


def parent_failure(case: Case) -> FailureInfo | None:
    """Why the job will never have all results to begin with; None where it may."""
    wait = awaited(case)
    if wait is None:
        return None
    unusable = next((why for parent in ended_parents(case) if (why := _unusable(case, parent)) is not None), None)
    if unusable is not None:
        return unusable
    size = sum(len(parent.model_dump_json(by_alias=True, exclude_none=True).encode()) for parent in pinned(case))
    if size > PARENTS_BYTES:
        message = f"the results to start from take {size} bytes of the status, at most {PARENTS_BYTES} fit"
        return failure_info(ParentUnusable, message, "name fewer at once, or let those jobs have a shorter output.uri")
    deadline = missing_deadline(case)
    if wait.reason == MISSING and deadline is not None and case.world.now >= deadline:
        return failure_info(ParentUnusable, wait.message)
    return None


def missing_deadline(case: Case) -> datetime | None:
    """When to give up on parents one of which is not there: as long as a pod may take to start."""
    limit, told = start_limit(case, is_shortage=False), condition(case.stored, "Progressing")
    if not limit or told is None or told.reason != MISSING:
        return None
    return told.last_transition_time + timedelta(seconds=limit)


def _unusable(case: Case, parent: TuneRecord) -> FailureInfo | None:
    name, status, where = parent.name, read_status(parent), field_that_names(case, parent.name)
    if status.phase is Phase.GATE_FAILED:
        model = status.artifacts.model if status.artifacts is not None else ""
        hint = f"mend that job; or take its model as it is, by {where}: {model}" if model else "mend that job"
        return failure_info(
            ParentUnusable, f"FineTuneJob {name} missed a gate: its model is not as good as asked", hint
        )
    if status.phase is Phase.FAILED:
        code = f" ({status.failure.code})" if status.failure is not None else ""
        hint = f"kubectl describe finetunejob {name} tells why; create it again under another name, or mend {where}"
        return failure_info(ParentUnusable, f"FineTuneJob {name} failed{code}: it has no result", hint)
    if result_of(parent, status) is None:
        return failure_info(ParentUnusable, f"FineTuneJob {name} has no verified result", "create it again")
    return None
