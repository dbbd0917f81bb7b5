"""Ownership of child Jobs: only those that the operator created count, whatever labels claim.

Whoever may create Jobs can give one our labels and our owner reference, and have its pod tell a success. So a Job
counts only under the name that it must have, and with a UID that the status holds, which none but the operator writes.
"""

from collections.abc import Iterable

from finetune_api.run_file import JobIdentity, Mode
from finetune_api.status import Child, Phase, Status
from finetune_operator.manifests.names import child_name
from finetune_operator.plan import Snapshot
from finetune_operator.records import ChildJobRecord

_HAVE_A_JOB = frozenset(Phase) - {Phase.PENDING}


def is_ours(snapshot: Snapshot, stored: Status, job: ChildJobRecord) -> bool:
    """Whether the operator created the Job: by the status, or by this process.

    A status of a version that held no UIDs is believed about the Jobs that were there: they go on.
    """
    if job.owner_uid != snapshot.finetune_job.uid or job.name not in names(snapshot):
        return False
    by_older_version = stored.children is None and stored.phase in _HAVE_A_JOB
    return by_older_version or job.uid in snapshot.created or job.uid in {child.uid for child in stored.children or ()}


def names(snapshot: Snapshot) -> tuple[str, str]:
    """Names of its check and training Jobs."""
    finetune_job = snapshot.finetune_job
    job = JobIdentity(name=finetune_job.name, namespace=finetune_job.namespace, uid=finetune_job.uid)
    return child_name(job, Mode.VALIDATE), child_name(job, Mode.TRAIN)


def recorded(stored: Status, jobs: Iterable[ChildJobRecord]) -> list[Child]:
    """Child Jobs in the status, updated by existing ones; per name the newest."""
    known = {child.name: child for child in stored.children or ()}
    known |= {job.name: Child(name=job.name, uid=job.uid) for job in sorted(jobs, key=_age)}
    return [known[name] for name in sorted(known)]


def with_child(status: Status, name: str, uid: str) -> Status:
    """The status with a newly created child Job."""
    known = {child.name: child for child in status.children or ()} | {name: Child(name=name, uid=uid)}
    return status.model_copy(update={"children": [known[each] for each in sorted(known)]})


def _age(job: ChildJobRecord) -> tuple[bool, object, str]:
    return not job.deleting, job.created, job.uid
