"""Event handlers: raw objects to records in the store, and affected jobs to the work queue."""

from collections.abc import Callable, Iterable
from typing import Any

from finetune_operator.projection import child_job_record, finetune_job_record, pod_record, resource_version
from finetune_operator.records import FineTuneJobRecord, Json
from finetune_operator.store import Kind, Store
from finetune_operator.work_queue import Priority, WorkQueue

_RECORD: dict[Kind, Callable[[Json], Any]] = {
    Kind.FINETUNE_JOB: finetune_job_record,
    Kind.JOB: child_job_record,
    Kind.POD: pod_record,
}

TOGETHER_SECONDS = 0.5
"""How long news of children waits for more: a pod that starts or ends makes several at once, its Job some more."""


class EventHandlers:
    """Feeds the store, and enqueues each affected FineTuneJob, new ones first."""

    def __init__(self, store: Store, queue: WorkQueue) -> None:
        self._store = store
        self._queue = queue

    def seen(self, kind: Kind, body: Json) -> None:
        """Handle an object from a watch or a listing."""
        if self.put(kind, body):
            self._enqueue_owner(kind, body["metadata"]["uid"])

    def put(self, kind: Kind, body: Json) -> bool:
        """Handle an object from a write of the operator, which only enqueues other jobs; returns whether it is new."""
        table, version = self._store.table(kind), resource_version(body)
        if table.version(body["metadata"]["uid"]) >= version >= 0:  # spares the work of reading it
            return False
        record = _RECORD[kind](body)
        is_news = table.put(record, version)
        if is_news and kind is Kind.FINETUNE_JOB:
            self._store.dependency_index.put(record)
            self._enqueue_waiting(record)
        return is_news

    def gone(self, kind: Kind, body: Json) -> None:
        """Handle a DELETED event: the object was deleted, or lost the watched label."""
        self._lost(kind, body["metadata"]["uid"], resource_version(body))

    def _lost(self, kind: Kind, uid: str, version: int) -> None:
        self._enqueue_owner(kind, uid)
        if kind is Kind.POD:
            self._keep_terminated(uid)
        self.remove(kind, uid, version)

    def remove(self, kind: Kind, uid: str, at: int | None = None) -> None:
        """Remove an object, for good unless it was absent `at` a version; only dependents are enqueued."""
        record = self._store.table(kind).remove(uid, at)
        if record is not None and kind is Kind.FINETUNE_JOB:
            self._store.dependency_index.remove(record)
            self._enqueue_waiting(record)

    def look_again(self, uid: str) -> None:
        """Enqueue a FineTuneJob again."""
        self._queue.add_after(uid, TOGETHER_SECONDS)

    def known(self, kind: Kind, namespace: str | None) -> set[str]:
        """UIDs of all stored objects of a kind."""
        return self._store.table(kind).uids(namespace)

    def vanished(self, kind: Kind, uids: Iterable[str]) -> None:
        """Remove objects that were deleted, or lost their label, between watches."""
        for uid in uids:
            self._lost(kind, uid, self._store.table(kind).version(uid))

    def _enqueue_owner(self, kind: Kind, uid: str) -> None:
        record = self._store.table(kind).get(uid)
        if record is None or not (key := self._store.key(record)):
            return
        if kind is Kind.FINETUNE_JOB:
            self._queue.add(key, Priority.REST if record.status else Priority.NEW)
        else:
            self._queue.add_after(key, TOGETHER_SECONDS)

    def _keep_terminated(self, uid: str) -> None:
        """Keep a terminated pod until the status records its end: a pod being deleted disappears soon."""
        pod = self._store.pods.get(uid)
        key = self._store.key(pod) if pod is not None else ""
        if pod is not None and key and pod.phase in ("Succeeded", "Failed"):
            self._store.terminated_pods.setdefault(key, {})[uid] = pod

    def _enqueue_waiting(self, finetune_job: FineTuneJobRecord) -> None:
        """Enqueue dependents of a FineTuneJob that has changed."""
        for uid in self._store.dependency_index.waiting_for(finetune_job):
            if uid != finetune_job.uid:
                self._queue.add(uid)
