"""Stalls: an attempt whose answers have not changed for `runPolicy.stallSeconds`.

A trainer that can't be asked is not stalled: losing progress never fails a job.
"""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.case import Case
from finetune_operator.lifecycle.progress import has_moved

_FRESH = timedelta(seconds=60)


def is_stalled(case: Case) -> bool:
    """Whether the running attempt stands still, and says so."""
    deadline = _deadline(case)
    return deadline is not None and case.world.now >= deadline and _is_fresh(case)


def stall_check(case: Case) -> datetime | None:
    """When to look whether the running attempt has stalled; None where that does not apply."""
    deadline = _deadline(case)
    if deadline is None or deadline > case.world.now:
        return deadline
    return case.world.now + _FRESH


def _deadline(case: Case) -> datetime | None:
    """When the attempt has said nothing new for too long."""
    limit, pod, progress = case.spec.run_policy.stall_seconds, case.running, case.stored.progress
    if not limit or pod is None or pod.deleting or pod.container is None or case.live is None:
        return None
    if progress is None or progress.updated_at is None or has_moved(case):
        return None
    since = max(progress.updated_at, pod.container.started or progress.updated_at)
    return since + timedelta(seconds=limit)


def _is_fresh(case: Case) -> bool:
    return case.world.live is not None and case.world.live.received >= case.world.now - _FRESH
