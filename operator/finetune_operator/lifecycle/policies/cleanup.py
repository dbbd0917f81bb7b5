"""What is done once the stored status says that the job has ended: stop what is left, delete it when its time is up.

Nothing here changes the outcome: terminal is final.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from finetune_api.status import Status
from finetune_operator.codec import time_to_live
from finetune_operator.lifecycle.context import is_finished
from finetune_operator.lifecycle.policies.sidecars import END_NOW, ends_by_itself, keepers, patience_ends
from finetune_operator.plan import DeleteJob, DeleteTune, PatchJob, World, Write
from finetune_operator.records import JobRecord

_DEPENDENTS = timedelta(seconds=2)
"""How often to look whether those that wait for the result have taken it: until then it outlives its time."""


@dataclass(frozen=True)
class Cleanup:
    """What is left to do for a job that has ended, and when to look again."""

    writes: tuple[Write, ...]
    again_at: datetime | None = None


def cleanup(world: World, stored: Status) -> Cleanup:
    """Stop what still runs of a job that has ended; delete the job once its time to live is over."""
    over = expiry(world, stored)
    if over is not None and world.now >= over:
        if not world.dependents:
            return Cleanup((DeleteTune(world.tune.uid),))
        over = world.now + _DEPENDENTS
    writes = [write for job in world.jobs if job.owner_uid == world.tune.uid for write in _stop(job, world)]
    return Cleanup(tuple(writes), _again_at(world, over))


def expiry(world: World, stored: Status) -> datetime | None:
    """When the time to live is over; None where there is none."""
    seconds = time_to_live(world.tune)
    if seconds is None or stored.completion_time is None:
        return None
    return stored.completion_time + timedelta(seconds=seconds)


def _stop(job: JobRecord, world: World) -> tuple[Write, ...]:
    if job.deleting or is_finished(job) or ends_by_itself(job, world.pods, world.now):
        return ()
    if job.suspend or job.started is None:  # a deadline would not count, and Kueue might start it yet
        return (DeleteJob(job.name, job.uid),)
    is_told = job.active_deadline_seconds == 1
    return () if is_told else (PatchJob(job.name, job.uid, END_NOW),)


def _again_at(world: World, over: datetime | None) -> datetime | None:
    """When the time to live is over, or a sidecar's patience."""
    kept = [patience_ends(pod) for pod in world.pods if keepers(pod) and not pod.deleting]
    moments = [over, *(moment for moment in kept if moment > world.now)]
    return min((moment for moment in moments if moment is not None), default=None)
