"""Stalls: an attempt whose answers have not changed for `runPolicy.stallSeconds`.

A trainer that can't be asked is not stalled: losing progress never fails a job.
"""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import Case
from finetune_operator.lifecycle.observe.progress import has_moved

_FRESH = timedelta(seconds=60)


def is_stalled(case: Case) -> bool:
    """Whether the running attempt stands still, and says so."""
    deadline = _deadline(case)
    return deadline is not None and case.world.now >= deadline and _is_fresh(case)


def stall_check(case: Case) -> datetime | None:
    """When to look whether the running attempt has stalled; None where that does not apply."""
    now, deadline = case.world.now, _deadline(case)
    if deadline is None:  # what moves now may stand still from now on, and nothing would tell
        return now + _limit(case) if _is_watched(case) else None
    return deadline if deadline > now else now + _FRESH


def _deadline(case: Case) -> datetime | None:
    """When the attempt has said nothing new for too long; None while it says something new."""
    pod, progress = case.running, case.stored.progress
    if not _is_watched(case) or pod is None or pod.container is None:
        return None
    if progress is None or progress.updated_at is None or has_moved(case):
        return None
    return max(progress.updated_at, pod.container.started or progress.updated_at) + _limit(case)


def _is_watched(case: Case) -> bool:
    """Whether there is a limit, and an attempt that runs and tells how it goes."""
    pod = case.running
    return bool(case.spec.run_policy.stall_seconds) and pod is not None and not pod.deleting and case.live is not None


def _limit(case: Case) -> timedelta:
    return timedelta(seconds=case.spec.run_policy.stall_seconds)


def _is_fresh(case: Case) -> bool:
    return case.world.live is not None and case.world.live.received >= case.world.now - _FRESH
