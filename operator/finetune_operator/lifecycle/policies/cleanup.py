"""Clean-up after the stored status has an outcome: stop running children, delete the job by its TTL.

Nothing here changes the outcome: terminal is final.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.status import Status
from finetune_operator.codec import time_to_live
from finetune_operator.lifecycle.context import is_finished
from finetune_operator.lifecycle.policies.sidecars import END_NOW, blocking_containers, ends_by_itself, sidecar_deadline
from finetune_operator.plan import DeleteFineTuneJob, DeleteJob, PatchJob, Snapshot, Write
from finetune_operator.records import ChildJobRecord

_DEPENDENTS = timedelta(seconds=2)
"""How often to look whether those that wait for the result have taken it: until then it outlives its time."""


@dataclass(frozen=True)
class Cleanup:
    """Actions for an ended job, and the time of the next check."""

    writes: tuple[Write, ...]
    again_at: datetime | None = None


def cleanup(snapshot: Snapshot, stored: Status) -> Cleanup:
    """Stop running children of an ended job; delete the job once its TTL has passed."""
    over = expiry(snapshot, stored)
    if over is not None and snapshot.now >= over:
        if not snapshot.dependents:
            return Cleanup((DeleteFineTuneJob(snapshot.finetune_job.uid),))
        over = snapshot.now + _DEPENDENTS
    writes = [
        write for job in snapshot.jobs if job.owner_uid == snapshot.finetune_job.uid for write in _stop(job, snapshot)
    ]
    return Cleanup(tuple(writes), _again_at(snapshot, over))


def expiry(snapshot: Snapshot, stored: Status) -> datetime | None:
    """Expiry by the TTL; None without one."""
    seconds = time_to_live(snapshot.finetune_job)
    if seconds is None or stored.completion_time is None:
        return None
    return stored.completion_time + timedelta(seconds=seconds)


def _stop(job: ChildJobRecord, snapshot: Snapshot) -> tuple[Write, ...]:
    if job.deleting or is_finished(job) or ends_by_itself(job, snapshot.pods, snapshot.now):
        return ()
    if job.suspend or job.started is None:  # a deadline would not count, and Kueue might start it yet
        return (DeleteJob(job.name, job.uid),)
    is_reportable = job.active_deadline_seconds == 1
    return () if is_reportable else (PatchJob(job.name, job.uid, END_NOW),)


def _again_at(snapshot: Snapshot, over: datetime | None) -> datetime | None:
    """Next expiry: of the TTL, or of a sidecar's grace period."""
    kept = [sidecar_deadline(pod) for pod in snapshot.pods if blocking_containers(pod) and not pod.deleting]
    moments = [over, *(moment for moment in kept if moment > snapshot.now)]
    return min((moment for moment in moments if moment is not None), default=None)
