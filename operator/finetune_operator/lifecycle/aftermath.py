"""What is done once the stored status says that the job has ended: stop what is left, delete it when its time is up.

Nothing here changes the outcome: terminal is final.
"""

from datetime import datetime, timedelta

from finetune_api.exit_codes import ExitCode
from finetune_api.status import Status
from finetune_operator.lifecycle.case import is_finished
from finetune_operator.manifests.failure_policy import ENDS_THE_JOB
from finetune_operator.parsed import time_to_live
from finetune_operator.plan import DeleteJob, DeleteTune, PatchJob, Plan, World, Write
from finetune_operator.records import JobRecord, PodRecord

_END_NOW = {"spec": {"activeDeadlineSeconds": 1}}
"""Ends a Job that has begun and keeps its pods that ended, with their logs; deleting it would take them along."""


def aftermath(world: World, stored: Status) -> Plan:
    """The plan for a job that has ended."""
    generation = max(stored.observed_generation, world.tune.generation)
    status = stored.model_copy(update={"observed_generation": generation})
    over = expiry(world, stored)
    if over is not None and world.now >= over:
        return Plan(status, (DeleteTune(world.tune.uid),))
    writes = [write for job in world.jobs if job.owner_uid == world.tune.uid for write in _stop(job, world.pods)]
    return Plan(status, tuple(writes), again_at=over)


def expiry(world: World, stored: Status) -> datetime | None:
    """When the time to live is over; None where there is none."""
    seconds = time_to_live(world.tune)
    if seconds is None or stored.completion_time is None:
        return None
    return stored.completion_time + timedelta(seconds=seconds)


def _stop(job: JobRecord, pods: tuple[PodRecord, ...]) -> tuple[Write, ...]:
    if job.deleting or is_finished(job) or _ends_by_itself(job, pods):
        return ()
    if job.suspend or job.started is None:  # a deadline would not count, and Kueue might start it yet
        return (DeleteJob(job.name, job.uid),)
    is_told = job.active_deadline_seconds == 1
    return () if is_told else (PatchJob(job.name, job.uid, _END_NOW),)


def _ends_by_itself(job: JobRecord, pods: tuple[PodRecord, ...]) -> bool:
    """Whether the Job controller will end it for the exit code of its newest pod."""
    newest = next((pod for pod in reversed(pods) if pod.owner_uid == job.uid), None)
    if newest is None or newest.container is None or newest.condition("DisruptionTarget") is not None:
        return False
    return newest.container.exit_code in ENDS_THE_JOB | {ExitCode.DONE}
