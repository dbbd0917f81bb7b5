"""Active time of a job: sums unsuspended periods, across restarts."""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import ReconcileContext


def active_since(context: ReconcileContext) -> datetime | None:
    """Start of the current active period; None while suspended, queued or not started."""
    job, stored = context.job, context.stored.active_since
    if context.is_paused:
        return None
    if job is None:
        return stored  # lost or replaced: no break
    if job.suspend or job.condition("Suspended") is not None:
        return None
    return stored or job.started


def active_seconds(context: ReconcileContext) -> int:
    """Seconds of past active periods."""
    stored = context.stored
    if stored.active_since is None or active_since(context) is not None:
        return stored.active_seconds
    return stored.active_seconds + _seconds(_paused_at(context) - stored.active_since)


def used_seconds(context: ReconcileContext) -> int:
    """Seconds of all active periods until now."""
    since = active_since(context)
    running = _seconds(context.now - since) if since is not None else 0
    return active_seconds(context) + running


def remaining_seconds(context: ReconcileContext) -> int | None:
    """Remaining seconds for a Job that starts now, at least one; None without a limit."""
    limit = context.spec.run_policy.active_deadline_seconds
    return max(1, limit - used_seconds(context)) if limit else None


def active_deadline(context: ReconcileContext) -> datetime | None:
    """Time at which the limit is reached without a further break."""
    limit, since = context.spec.run_policy.active_deadline_seconds, active_since(context)
    if not limit or since is None:
        return None
    return since + timedelta(seconds=limit - active_seconds(context))


def job_seconds(context: ReconcileContext) -> int | None:
    """Value of `activeDeadlineSeconds` of the running Job, which counts from its own start."""
    deadline, job = active_deadline(context), context.job
    if deadline is None or job is None or job.started is None:
        return remaining_seconds(context)
    return max(1, _seconds(deadline - job.started))


def _paused_at(context: ReconcileContext) -> datetime:
    """Time at which the Job was suspended, which may precede its observation."""
    suspended = context.job.condition("Suspended") if context.job is not None else None
    since, began = suspended.since if suspended is not None else None, context.stored.active_since
    if since is None or began is None or not began <= since <= context.now:
        return context.now
    return since


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))
