"""Throttling of status writes: transitions at once, metrics at intervals."""

from datetime import datetime, timedelta

from finetune_api.live import Live
from finetune_api.status import Attempt, Condition, Phase, Status
from finetune_operator.lifecycle.context import RUNNING
from finetune_operator.lifecycle.observe.progress import PROGRESS_FIELDS, REPORTED_PHASES
from finetune_operator.lifecycle.report.conditions import STOPPING

_BEFORE_TRAINING = REPORTED_PHASES - RUNNING
_BEGINNING = timedelta(seconds=5)
"""How long the begin of the active time waits for company: the Job itself tells it, and a pod usually starts first."""


def throttled(
    stored: Status, fresh: Status, live: Live | None, seconds: float, now: datetime
) -> tuple[Status, datetime | None]:
    """The status to write and, where metrics are held back, the time they are due."""
    if (due := _begin_is_due(stored, fresh)) is not None and now < due:
        return stored, due
    if stored.children is None and fresh == stored.model_copy(update={"children": fresh.children}):
        return stored, None  # of a version that held none: told with what is next
    if live is None or stored.progress is None or stored.progress.updated_at is None or fresh.progress is None:
        return fresh, None
    if fresh == stored or not _is_only_figures(stored, fresh):
        return fresh, None
    due = stored.progress.updated_at + timedelta(seconds=seconds)
    taken = fresh.progress.updated_at
    return (stored, due) if taken is None or taken < due else (fresh, None)


def _begin_is_due(stored: Status, fresh: Status) -> datetime | None:
    """Time at which the start of the active period must be written, if nothing else is new."""
    begun = fresh.active_since
    if begun is None or stored.active_since is not None or fresh != stored.model_copy(update={"active_since": begun}):
        return None
    return begun + _BEGINNING


def _is_only_figures(stored: Status, fresh: Status) -> bool:
    """Whether only metrics differ; the start of training is a transition, an evaluation within it is none."""
    begins = stored.phase in _BEFORE_TRAINING and fresh.phase not in _BEFORE_TRAINING
    if begins or not {stored.phase, fresh.phase} <= REPORTED_PHASES:
        return False
    return _without_figures(stored) == _without_figures(fresh)


def _without_figures(status: Status) -> Status:
    plain = {name: Status.model_fields[name].get_default(call_default_factory=True) for name in PROGRESS_FIELDS}
    return status.model_copy(
        update={
            **plain,
            "phase": Phase.TRAINING,
            "attempts": [_without_steps(attempt) for attempt in status.attempts],
            "conditions": [_without_words(condition) for condition in status.conditions],
        }
    )


def _without_steps(attempt: Attempt) -> Attempt:
    return attempt if attempt.reason else attempt.model_copy(update={"steps": 0, "resumed_from": None})


def _without_words(condition: Condition) -> Condition:
    if condition.type != "Progressing" or condition.status != "True" or condition.reason == STOPPING:
        return condition
    return condition.model_copy(update={"reason": "", "message": ""})
