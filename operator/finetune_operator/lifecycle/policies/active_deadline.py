"""The time that a job may be active: all stretches together, suspensions left out, not reset by any restart."""

from datetime import datetime, timedelta

from finetune_operator.lifecycle.context import Case


def active_since(case: Case) -> datetime | None:
    """Since when the job has been active without a break; None while it is suspended, queued or not begun."""
    job, stored = case.job, case.stored.active_since
    if case.is_paused:
        return None
    if job is None:
        return stored  # lost or replaced: no break
    if job.suspend or job.condition("Suspended") is not None:
        return None
    return stored or job.started


def active_seconds(case: Case) -> int:
    """Seconds of the stretches that are over."""
    stored = case.stored
    if stored.active_since is None or active_since(case) is not None:
        return stored.active_seconds
    return stored.active_seconds + _seconds(_paused_at(case) - stored.active_since)


def used_seconds(case: Case) -> int:
    """Seconds of all stretches until now."""
    since = active_since(case)
    running = _seconds(case.world.now - since) if since is not None else 0
    return active_seconds(case) + running


def remaining_seconds(case: Case) -> int | None:
    """What is left for a Job that starts now, at least a second; None where there is no limit."""
    limit = case.spec.run_policy.active_deadline_seconds
    return max(1, limit - used_seconds(case)) if limit else None


def active_deadline(case: Case) -> datetime | None:
    """When the budget is used up, if there is no break until then."""
    limit, since = case.spec.run_policy.active_deadline_seconds, active_since(case)
    if not limit or since is None:
        return None
    return since + timedelta(seconds=limit - active_seconds(case))


def job_seconds(case: Case) -> int | None:
    """What `activeDeadlineSeconds` of the running Job should be: it counts from the Job's own start."""
    deadline, job = active_deadline(case), case.job
    if deadline is None or job is None or job.started is None:
        return remaining_seconds(case)
    return max(1, _seconds(deadline - job.started))


def _paused_at(case: Case) -> datetime:
    """When the Job was suspended, which may be before anyone looked."""
    suspended = case.job.condition("Suspended") if case.job is not None else None
    since, began = suspended.since if suspended is not None else None, case.stored.active_since
    if since is None or began is None or not began <= since <= case.world.now:
        return case.world.now
    return since


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))
