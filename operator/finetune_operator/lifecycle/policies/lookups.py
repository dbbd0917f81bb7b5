"""When to look up what is not watched: why a Job gets no pod, and whether there is the queue that it waits in."""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import Case
from finetune_operator.lifecycle.policies.start_deadline import podless_since
from finetune_operator.plan import Found, LookUp

_FIRST_FOR_PODS, _FIRST_FOR_QUEUES = timedelta(seconds=10), timedelta(seconds=20)
_SHORTEST, _LONGEST = timedelta(seconds=10), timedelta(seconds=300)


def look_up(case: Case) -> LookUp | None:
    """What to look up now; None where nothing is due."""
    due, job = _due(case), case.job
    if due is None or job is None or case.world.now < due:
        return None
    return LookUp(job.name, job.uid, _queue(case) if case.is_held else "")


def look_up_at(case: Case) -> datetime | None:
    """When to look up something; None where nothing waits for that."""
    return _due(case)


def found(case: Case) -> Found | None:
    """What was looked up for the Job of now."""
    known, job = case.world.found, case.job
    return known if known is not None and job is not None and known.job_uid == job.uid else None


def _due(case: Case) -> datetime | None:
    """The wait doubles each time: what has not helped for an hour is not worth asking each minute."""
    since, known = _since(case), found(case)
    if since is None or known is None or known.at < since:
        first = _FIRST_FOR_QUEUES if case.is_held else _FIRST_FOR_PODS
        return since + first if since is not None else None
    return known.at + min(max(known.at - since, _SHORTEST), _LONGEST)


def _since(case: Case) -> datetime | None:
    job = case.job
    if job is None or case.is_suspending:
        return None
    if not case.is_held:
        return podless_since(case)
    suspended = job.condition("Suspended")
    return ((suspended.since if suspended is not None else None) or job.created) if _queue(case) else None


def _queue(case: Case) -> str:
    return (case.job.queue if case.job is not None else "") or case.queue
