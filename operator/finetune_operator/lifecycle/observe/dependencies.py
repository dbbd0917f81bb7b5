"""Dependencies (`finetunejob://name`): waits for those jobs, and pins their results permanently."""

from dataclasses import dataclass

from finetune_api.addresses import addresses, awaited_names, parent_names
from finetune_api.failures import Problem
from finetune_api.parent import Parent
from finetune_api.status import Phase
from finetune_api.uris import parent_job
from finetune_operator.codec import read_status
from finetune_operator.lifecycle.context import TERMINAL, ReconcileContext
from finetune_operator.lifecycle.messages import listed
from finetune_operator.lifecycle.results import checkpoints_of, result_of
from finetune_operator.records import FineTuneJobRecord

MISSING, NOT_FINISHED, FINISHED = "ParentMissing", "ParentNotFinished", "ParentFinished"
"""Reasons of the condition Progressing while a job waits for others."""
_AT_REST = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases that are named; all others are one, so that the status need not be written for each."""


@dataclass(frozen=True)
class DependencyWait:
    """Reason that a job waits for its dependencies."""

    reason: str
    message: str


def pinned_results(context: ReconcileContext) -> list[Parent]:
    """Results to store in the status, in the order of the spec: a pinned job is not read again."""
    if not context.snapshot.parents:
        return context.stored.parents
    held = {parent.name: parent for parent in context.stored.parents}
    for parent in ended_parents(context):
        taken = what_is_taken(context, parent)
        if taken is not None:
            held[parent.name] = taken
    return [held[name] for name in parent_names(context.finetune_job.spec) if name in held]


def what_is_taken(context: ReconcileContext, parent: FineTuneJobRecord) -> Parent | None:
    """The checkpoints or result that the job needs of an ended dependency; None where it has none."""
    offered = checkpoints_of if is_continued(context, parent.name) else result_of
    return offered(parent, read_status(parent))


def is_continued(context: ReconcileContext, name: str) -> bool:
    """Whether the job resumes the run of the one with that name."""
    resumed = context.spec.checkpoints.resume_from
    return resumed is not None and parent_job(resumed.uri) == name


def dependency_wait(context: ReconcileContext) -> DependencyWait | None:
    """The open dependencies before the first Job is created."""
    names = _open(context) if context.job is None else []
    if not names:
        return None
    there = {parent.name: parent for parent in context.snapshot.parents}
    missing = [name for name in names if name not in there]
    if missing:
        namespace, mend = context.finetune_job.namespace, field_that_names(context, missing[0])
        message = f"there is no FineTuneJob {missing[0]} in namespace {namespace}; create it, or fix {mend}"
        return DependencyWait(MISSING, message)
    running = [f"FineTuneJob {name}, which {how}" for name in names if (how := _how(there[name]))]
    if not running:
        return DependencyWait(FINISHED, f"FineTuneJob {names[0]} has ended; what it has left is looked up")
    found = len(context.stored.parents)
    so_far = f"; has {found} of {found + len(names)} results" if found else ""
    return DependencyWait(NOT_FINISHED, f"waits for {listed(running, between=', and ')}{so_far}")


def cycle(context: ReconcileContext) -> Problem | None:
    """Message on a dependency cycle; empty without one."""
    names = context.snapshot.cycle
    if not names:
        return None
    way = " -> ".join([context.finetune_job.name, *names])
    where = field_that_names(context, names[0])
    return Problem(f"these jobs would wait for each other for ever: {way}", where, "start one of them from a model")


def _open(context: ReconcileContext) -> list[str]:
    """Names of dependencies without a pinned result, in the order of the spec."""
    return awaited_names(context.finetune_job.spec, {parent.name for parent in context.stored.parents})


def ended_parents(context: ReconcileContext) -> list[FineTuneJobRecord]:
    """The open dependencies that have ended."""
    names = _open(context)
    return [parent for parent in context.snapshot.parents if parent.name in names and _phase(parent) in TERMINAL]


def _how(parent: FineTuneJobRecord) -> str:
    """State of a dependency as text; empty where it has ended."""
    phase = _phase(parent)
    return "" if phase in TERMINAL else f"is {phase}" if phase in _AT_REST else "runs"


def _phase(parent: FineTuneJobRecord) -> Phase:
    """Phase of a dependency, without decoding its whole status, which would be slow."""
    reported = parent.status.get("phase")
    return Phase(reported) if reported in set(Phase) else Phase.PENDING


def field_that_names(context: ReconcileContext, name: str) -> str:
    """Field of the spec that names the job."""
    return next(address.path for address in addresses(context.spec) if parent_job(address.uri) == name)
