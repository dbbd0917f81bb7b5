"""In-memory cache of the cluster: one table per kind by UID, fed by watches, listings and own writes.

Each record carries its resource version, and an older one never replaces a newer one. So the answer to a write of ours
counts at once, whatever the watch still has on the way, and nothing is written twice.
"""

import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from finetune_api import GROUP, VERSION
from finetune_operator.codec import recorded_pods, recorded_uids
from finetune_operator.dependency_index import DependencyIndex
from finetune_operator.plan import LiveRecord, LookUpResult, Refusal, Snapshot, UnansweredPolls
from finetune_operator.records import ChildJobRecord, FineTuneJobRecord, PodRecord
from finetune_operator.settings import Settings

Record = TypeVar("Record", FineTuneJobRecord, ChildJobRecord, PodRecord)

_FOR_GOOD = sys.maxsize
_TOMBSTONES = 20_000
"""Deleted UIDs that are remembered: their last events are minutes, not thousands of deletions, late."""


class Kind(StrEnum):
    """Watched kinds, by plural name."""

    FINETUNE_JOB = "finetunejobs"
    JOB = "jobs"
    POD = "pods"


GROUP_VERSION = {Kind.FINETUNE_JOB: (GROUP, VERSION), Kind.JOB: ("batch", "v1"), Kind.POD: ("", "v1")}
"""API group and version of each kind; the core group is empty."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Record]):
    record: Record
    version: int


class Table(Generic[Record]):
    """Records of one kind by UID, and by the UID of their controller."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry[Record]] = {}
        self._owned: dict[str, dict[str, None]] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Record]:
        return (entry.record for entry in list(self._entries.values()))

    def get(self, uid: str) -> Record | None:
        """The record with that UID."""
        entry = self._entries.get(uid)
        return entry.record if entry else None

    def version(self, uid: str) -> int:
        """Resource version of the record with that UID; -1 without one."""
        entry = self._entries.get(uid)
        return entry.version if entry else -1

    def owned_by(self, uid: str) -> list[Record]:
        """Records controlled by the object with that UID, oldest first."""
        found = (self._entries[child].record for child in self._owned.get(uid, ()))
        return sorted(found, key=lambda record: (record.created, record.name))

    def put(self, record: Record, version: int) -> bool:
        """Store a record unless a newer one is known or the object is gone; returns whether it was stored."""
        known = self._entries.get(record.uid)
        gone_at = self._gone.get(record.uid)
        if (gone_at is not None and version <= gone_at) or (known is not None and 0 <= version <= known.version):
            return False
        self._gone.pop(record.uid, None)
        if known is not None and _owner(known.record) != _owner(record):  # orphaned, or adopted
            self._disown(known.record)
        self._entries[record.uid] = _Entry(record, version)
        self._owned.setdefault(_owner(record), {})[record.uid] = None
        return known is None or known.record != record

    def remove(self, uid: str, at: int | None = None) -> Record | None:
        """Remove a record, for good where it is known to be deleted: late events must not restore it.

        `at` is the resource version at which a watch ceased to show it. It may have lost its label only; then newer
        versions count again.
        """
        self._gone[uid] = _FOR_GOOD if at is None else at
        self._gone.move_to_end(uid)
        if len(self._gone) > _TOMBSTONES:
            self._gone.popitem(last=False)
        entry = self._entries.pop(uid, None)
        if entry is None:
            return None
        self._disown(entry.record)
        return entry.record

    def has_vanished(self, uid: str) -> bool:
        """Whether the object is known to be deleted."""
        return self._gone.get(uid) == _FOR_GOOD

    def uids(self, namespace: str | None) -> set[str]:
        """UIDs of all records in a namespace, or in all."""
        return {uid for uid, entry in self._entries.items() if namespace in (None, entry.record.namespace)}

    def _disown(self, record: Record) -> None:
        siblings = self._owned[_owner(record)]
        del siblings[record.uid]
        if not siblings:
            del self._owned[_owner(record)]


@dataclass
class Store:
    """All tables, and state beyond objects. For the event loop only."""

    settings: Settings
    finetune_jobs: Table[FineTuneJobRecord] = field(default_factory=Table)
    jobs: Table[ChildJobRecord] = field(default_factory=Table)
    pods: Table[PodRecord] = field(default_factory=Table)
    live: dict[str, LiveRecord] = field(default_factory=dict)
    """Newest answer of a running pod, by the UID of the FineTuneJob."""
    unanswered_polls: dict[str, UnansweredPolls] = field(default_factory=dict)
    """Running pods that don't answer, by the UID of the FineTuneJob."""
    terminated_pods: dict[str, dict[str, PodRecord]] = field(default_factory=dict)
    """Pods that ended and went before anyone looked: by the UID of the FineTuneJob, then by their own."""
    dependency_index: DependencyIndex = field(default_factory=DependencyIndex)
    """Which FineTuneJob waits for which."""
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """Why the API server would not have a child, by the UID of the FineTuneJob."""
    created: dict[str, frozenset[str]] = field(default_factory=dict)
    """UIDs of Jobs that this process created, or found to be as it would create them, by the UID of the FineTuneJob."""

    refused_writes: dict[str, dict[str, Refusal]] = field(default_factory=dict)
    """Other writes that the API server refuses, by the UID of the FineTuneJob, then by what they do."""
    found: dict[str, LookUpResult] = field(default_factory=dict)
    """What was looked up for Jobs that wait, by the UID of the FineTuneJob."""
    run_files: dict[str, str] = field(default_factory=dict)
    """Run files of Jobs whose FineTuneJobs this version can't read, by the UID of the FineTuneJob."""

    def snapshot(self, uid: str, now: datetime) -> Snapshot | None:
        """Snapshot of one FineTuneJob; None once it is gone."""
        finetune_job = self.finetune_jobs.get(uid)
        if finetune_job is None:
            return None
        jobs = tuple(job for job in self.jobs.owned_by(uid) if job.namespace == finetune_job.namespace)
        owners = {job.uid for job in jobs} | recorded_uids(finetune_job)
        found = (pod for owner in sorted(owners) for pod in self.pods.owned_by(owner))
        orphans = (pod for pod in self.pods.owned_by(_orphans_of(uid)) if pod.name in recorded_pods(finetune_job))
        pods = [pod for pod in (*found, *orphans) if pod.namespace == finetune_job.namespace]
        pods += self.terminated_pods.get(uid, {}).values()
        return Snapshot(
            finetune_job=finetune_job,
            jobs=jobs,
            pods=tuple(sorted(pods, key=lambda pod: (pod.created, pod.name))),
            live=self.live.get(uid),
            refusal=self.refusals.get(uid),
            now=now,
            settings=self.settings,
            refused_writes=tuple(self.refused_writes.get(uid, {}).values()),
            found=self.found.get(uid),
            run_file=self.run_files.get(uid),
            parents=tuple(filter(None, map(self.finetune_jobs.get, self.dependency_index.awaited(uid)))),
            cycle=tuple(self.dependency_index.cycle(uid)),
            dependents=len(set(self.dependency_index.waiting_for(finetune_job)) - {uid}),
            created=self.created.get(uid, frozenset()),
            unanswered=self.unanswered_polls.get(uid),
            vanished=frozenset(filter(self.jobs.has_vanished, owners)),
        )

    def table(self, kind: Kind) -> Table[Any]:
        """The table of a kind."""
        tables: dict[Kind, Table[Any]] = {
            Kind.FINETUNE_JOB: self.finetune_jobs,
            Kind.JOB: self.jobs,
            Kind.POD: self.pods,
        }
        return tables[kind]

    def key(self, record: FineTuneJobRecord | ChildJobRecord | PodRecord) -> str:
        """UID of the FineTuneJob that a record belongs to; empty without one."""
        if isinstance(record, FineTuneJobRecord):
            return record.uid
        if isinstance(record, ChildJobRecord):
            return record.owner_uid
        job = self.jobs.get(record.owner_uid)
        if job is not None:
            return job.owner_uid
        return (
            record.finetune_job_uid if self.finetune_jobs.get(record.finetune_job_uid) is not None else ""
        )  # the Job may be gone before it

    def drop_recorded(self, snapshot: Snapshot) -> None:
        """Drop terminated pods of this snapshot once the status records them."""
        words = self.terminated_pods.pop(snapshot.finetune_job.uid, {})
        new = {uid: pod for uid, pod in words.items() if pod not in snapshot.pods}
        if new:
            self.terminated_pods[snapshot.finetune_job.uid] = new

    def forget(self, uid: str) -> None:
        """Drop state beyond objects of a deleted FineTuneJob."""
        self.terminated_pods.pop(uid, None)
        self.live.pop(uid, None)
        self.unanswered_polls.pop(uid, None)
        self.refusals.pop(uid, None)
        self.created.pop(uid, None)
        for table in (self.refused_writes, self.found, self.run_files):
            table.pop(uid, None)


def _owner(record: FineTuneJobRecord | ChildJobRecord | PodRecord) -> str:
    if isinstance(record, FineTuneJobRecord):
        return ""
    if isinstance(record, PodRecord) and not record.owner_uid and record.finetune_job_uid:
        return _orphans_of(record.finetune_job_uid)
    return record.owner_uid


def _orphans_of(finetune_job_uid: str) -> str:
    """Placeholder owner of pods whose Job was deleted without them: their label names the FineTuneJob."""
    return f"orphans of {finetune_job_uid}"
