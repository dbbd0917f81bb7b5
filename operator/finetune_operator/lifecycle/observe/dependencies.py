"""`finetunejob://name` in a spec: waits until those jobs have results, and pins each of them for good."""

from dataclasses import dataclass

from finetune_api.addresses import addresses, awaited_names, parent_names
from finetune_api.failures import Problem
from finetune_api.parent import Parent
from finetune_api.status import Phase
from finetune_api.uris import parent_job
from finetune_operator.codec import read_status
from finetune_operator.lifecycle.context import TERMINAL, Case
from finetune_operator.lifecycle.messages import listed
from finetune_operator.lifecycle.results import result_of
from finetune_operator.records import TuneRecord

MISSING, NOT_FINISHED, FINISHED = "ParentMissing", "ParentNotFinished", "ParentFinished"
"""Reasons of the condition Progressing while a job waits for others."""
_AT_REST = frozenset({Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED})
"""Phases that are named; all others are one, so that the status need not be written for each."""


@dataclass(frozen=True)
class Awaited:
    """What keeps the job from beginning."""

    reason: str
    message: str


def pinned(case: Case) -> list[Parent]:
    """The results that the status holds from now on, in the order of the spec: a job that has one is asked no more."""
    if not case.world.parents:
        return case.stored.parents
    held = {parent.name: parent for parent in case.stored.parents}
    for parent in ended_parents(case):
        result = result_of(parent, read_status(parent))
        if result is not None:
            held[parent.name] = result
    return [held[name] for name in parent_names(case.world.tune.spec) if name in held]


def awaited(case: Case) -> Awaited | None:
    """What the job waits for before its first Job is created."""
    names = _open(case) if case.job is None else []
    if not names:
        return None
    there = {parent.name: parent for parent in case.world.parents}
    missing = [name for name in names if name not in there]
    if missing:
        namespace, mend = case.world.tune.namespace, field_that_names(case, missing[0])
        message = f"there is no FineTuneJob {missing[0]} in namespace {namespace}; create it, or mend {mend}"
        return Awaited(MISSING, message)
    running = [f"FineTuneJob {name}, which {how}" for name in names if (how := _how(there[name]))]
    if not running:
        return Awaited(FINISHED, f"FineTuneJob {names[0]} has ended; its result is looked up")
    found = len(case.stored.parents)
    so_far = f"; has {found} of {found + len(names)} results" if found else ""
    return Awaited(NOT_FINISHED, f"waits for {listed(running, between=', and ')}{so_far}")


def circle(case: Case) -> Problem | None:
    """What is wrong where jobs wait for each other in a circle."""
    names = case.world.circle
    if not names:
        return None
    way = " -> ".join([case.world.tune.name, *names])
    where = field_that_names(case, names[0])
    return Problem(f"these jobs would wait for each other for ever: {way}", where, "start one of them from a model")


def _open(case: Case) -> list[str]:
    """Names of the jobs whose results it has not got yet, in the order of the spec."""
    return awaited_names(case.world.tune.spec, {parent.name for parent in case.stored.parents})


def ended_parents(case: Case) -> list[TuneRecord]:
    """Those of them that have ended."""
    names = _open(case)
    return [parent for parent in case.world.parents if parent.name in names and _phase(parent) in TERMINAL]


def _how(parent: TuneRecord) -> str:
    """What it does; empty where it has ended."""
    phase = _phase(parent)
    return "" if phase in TERMINAL else f"is {phase}" if phase in _AT_REST else "runs"


def _phase(parent: TuneRecord) -> Phase:
    """Its phase. Reading the whole status of each, whenever one has moved, would cost much more."""
    told = parent.status.get("phase")
    return Phase(told) if told in set(Phase) else Phase.PENDING


def field_that_names(case: Case, name: str) -> str:
    """The field that names the job."""
    return next(address.path for address in addresses(case.spec) if parent_job(address.uri) == name)
