"""Schedule of lookups of unwatched objects: events of a Job without pods, and its LocalQueue."""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import ReconcileContext
from finetune_operator.lifecycle.policies.start_deadline import podless_since
from finetune_operator.plan import LookUpRequest, LookUpResult

_FIRST_FOR_PODS, _FIRST_FOR_QUEUES = timedelta(seconds=10), timedelta(seconds=20)
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(seconds=300)


def look_up(context: ReconcileContext) -> LookUpRequest | None:
    """The lookup that is due; None without one."""
    due, job = _due(context), context.job
    if due is None or job is None or context.now < due:
        return None
    return LookUpRequest(job.name, job.uid, _queue(context) if context.is_held else "")


def look_up_at(context: ReconcileContext) -> datetime | None:
    """Time of the next lookup; None without a need."""
    return _due(context)


def found(context: ReconcileContext) -> LookUpResult | None:
    """Lookup results for the current Job."""
    known, job = context.snapshot.found, context.job
    return known if known is not None and job is not None and known.job_uid == job.uid else None


def _due(context: ReconcileContext) -> datetime | None:
    """Time of the next lookup, with exponential back-off."""
    since, known = _since(context), found(context)
    if since is None or known is None or known.at < since:
        first = _FIRST_FOR_QUEUES if context.is_held else _FIRST_FOR_PODS
        return since + first if since is not None else None
    return known.at + min(max(known.at - since, _SHORTEST), _LONGEST)


def _since(context: ReconcileContext) -> datetime | None:
    job = context.job
    if job is None or context.is_suspending:
        return None
    if not context.is_held:
        return podless_since(context)
    suspended = job.condition("Suspended")
    return ((suspended.since if suspended is not None else None) or job.created) if _queue(context) else None


def _queue(context: ReconcileContext) -> str:
    return (context.job.queue if context.job is not None else "") or context.queue
