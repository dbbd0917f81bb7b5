"""How news gets in: raw objects become records in the store, and the job that they concern gets in line."""

from collections.abc import Callable, Iterable
from typing import Any

from finetune_operator.projection import job_record, pod_record, resource_version, tune_record
from finetune_operator.queue import WorkQueue
from finetune_operator.records import Json
from finetune_operator.store import Kind, Store

_RECORD: dict[Kind, Callable[[Json], Any]] = {Kind.TUNE: tune_record, Kind.JOB: job_record, Kind.POD: pod_record}


class Intake:
    """Feeds a store, and puts each FineTuneJob that something new is known of in line; new ones first."""

    def __init__(self, store: Store, queue: WorkQueue) -> None:
        self._store = store
        self._queue = queue

    def seen(self, kind: Kind, body: Json) -> None:
        """Take an object that a watch or a listing shows."""
        if self.put(kind, body):
            self._enqueue_owner(kind, body["metadata"]["uid"])

    def put(self, kind: Kind, body: Json) -> bool:
        """Take an object without putting anything in line, as after a write of our own; return whether it is news."""
        table, version = self._store.table(kind), resource_version(body)
        if table.version(body["metadata"]["uid"]) >= version >= 0:  # spares the work of reading it
            return False
        return table.put(_RECORD[kind](body), version)

    def gone(self, kind: Kind, uid: str) -> None:
        """Take it that an object was deleted."""
        self._enqueue_owner(kind, uid)
        self.remove(kind, uid)

    def remove(self, kind: Kind, uid: str) -> None:
        """Forget an object without putting anything in line."""
        self._store.table(kind).remove(uid)

    def known(self, kind: Kind, namespace: str | None) -> set[str]:
        """Return the UIDs that are known of a kind."""
        return self._store.table(kind).uids(namespace)

    def vanished(self, kind: Kind, uids: Iterable[str]) -> None:
        """Take it that objects were deleted while nobody watched."""
        for uid in uids:
            self.gone(kind, uid)

    def _enqueue_owner(self, kind: Kind, uid: str) -> None:
        record = self._store.table(kind).get(uid)
        if record is not None and (key := self._store.key(record)):
            self._queue.add(key, urgent=kind is Kind.TUNE and not record.status)
