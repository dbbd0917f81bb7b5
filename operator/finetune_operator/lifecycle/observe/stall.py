"""Stall detection: a running attempt whose reports have not changed for `runPolicy.stallSeconds`.

A trainer that can't be asked is not stalled: losing progress never fails a job.
"""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import ReconcileContext
from finetune_operator.lifecycle.observe.progress import has_moved

_FRESH = timedelta(seconds=60)


def is_stalled(context: ReconcileContext) -> bool:
    """Whether the running attempt has stalled."""
    deadline = _deadline(context)
    return deadline is not None and context.now >= deadline and _is_fresh(context)


def stall_check(context: ReconcileContext) -> datetime | None:
    """Time of the next stall check; None where none applies."""
    now, deadline = context.now, _deadline(context)
    if deadline is None:  # what moves now may stand still from now on, and nothing would tell
        return now + _limit(context) if _is_watched(context) else None
    return deadline if deadline > now else now + _FRESH


def _deadline(context: ReconcileContext) -> datetime | None:
    """Time at which the attempt counts as stalled; None while it reports changes."""
    pod, progress = context.running, context.stored.progress
    if not _is_watched(context) or pod is None or pod.container is None:
        return None
    if progress is None or progress.updated_at is None or has_moved(context):
        return None
    return max(progress.updated_at, pod.container.started or progress.updated_at) + _limit(context)


def _is_watched(context: ReconcileContext) -> bool:
    """Whether there is a limit, and a running attempt that reports progress."""
    pod = context.running
    return (
        bool(context.spec.run_policy.stall_seconds)
        and pod is not None
        and not pod.deleting
        and context.live is not None
    )


def _limit(context: ReconcileContext) -> timedelta:
    return timedelta(seconds=context.spec.run_policy.stall_seconds)


def _is_fresh(context: ReconcileContext) -> bool:
    return context.snapshot.live is not None and context.snapshot.live.received >= context.now - _FRESH
