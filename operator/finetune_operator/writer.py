"""Writes to Jobs, pods and FineTuneJobs; refusals of the API server are stored.

A refusal is part of the next world, so that the status can tell it; nothing else waits for it.
"""

import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic

from finetune_api.pod import CHECKPOINT_ANNOTATION
from finetune_operator.cluster import (
    Cluster,
    ConflictError,
    GoneError,
    RefusedError,
    TakenError,
    UnavailableError,
)
from finetune_operator.codec import recorded_uids
from finetune_operator.event_handlers import EventHandlers
from finetune_operator.manifests.comparison import difference
from finetune_operator.manifests.pod import failed_pod_status
from finetune_operator.plan import (
    AskForCheckpoint,
    DeleteFineTuneJob,
    DeleteJob,
    DeletePod,
    FailPod,
    PatchJob,
    Refusal,
    RestoreLabels,
    Snapshot,
    Write,
    described,
)
from finetune_operator.projection import child_job_record
from finetune_operator.records import Json
from finetune_operator.store import Kind, Store

log = logging.getLogger(__name__)

UNWELL_SECONDS = 3.0
"""After this long with 429 or 5xx for its writes, a job's status says so. Before, trying again is quicker."""


class Writer:
    """Executes writes, serially per key."""

    def __init__(self, store: Store, event_handlers: EventHandlers, cluster: Cluster) -> None:
        self._store = store
        self._event_handlers = event_handlers
        self._cluster = cluster
        self._tried: dict[str, float] = {}
        """Since when the writes of a job have not been answered well, by the loop's clock."""

    def forget(self, key: str) -> None:
        """Drop the state of a deleted job."""
        self._tried.pop(key, None)

    async def write_all(self, snapshot: Snapshot, writes: Sequence[Write]) -> bool:
        """Execute independent writes; returns whether their results change the status.

        One that is refused is tried again later, and neither keeps others from being done nor the status from telling.
        """
        uid = snapshot.finetune_job.uid
        refused = self._store.refused_writes.get(uid, {})
        left: dict[str, Refusal] = {}
        for write in writes:
            what = described(write)
            before = refused.get(what)
            if before is not None and datetime.now(UTC) < before.next_try:
                left[what] = before
            elif (answer := await self._try(snapshot, write)) is not None:
                count = before.count + 1 if before is not None else 1
                left[what] = replace(answer, count=count, what=what)
        self._store.refused_writes.pop(uid, None)
        if left:
            self._store.refused_writes[uid] = left
        return left != refused

    async def _try(self, snapshot: Snapshot, write: Write) -> Refusal | None:
        """Execute one write; returns a refusal, that of a failing webhook included."""
        uid = snapshot.finetune_job.uid
        begun = self._tried.setdefault(uid, monotonic())
        try:
            await self._write(snapshot, write)
        except RefusedError as error:
            code, message = error.code, error.message
        except UnavailableError as error:
            if error.code is None or error.code == HTTPStatus.UNAUTHORIZED or monotonic() - begun < UNWELL_SECONDS:
                raise
            code, message = error.code, str(error)
        else:
            self._tried.pop(uid, None)
            return None
        log.warning("the API server refuses to %s: %s: %s", described(write), code, message)
        return Refusal(code, message, datetime.now(UTC))

    async def _write(self, snapshot: Snapshot, write: Write) -> None:
        """Execute one write other than a creation."""
        namespace = snapshot.finetune_job.namespace
        match write:
            case DeleteFineTuneJob():
                await self._delete_tune(snapshot)
            case PatchJob(name, uid, patch):
                body = await self._cluster.patch_job(namespace, name, uid, patch)
                self._event_handlers.put(Kind.JOB, body)
            case RestoreLabels(name, uid, labels):
                if not await self._restore_labels(namespace, name, uid, labels):
                    raise GoneError(f"Job {name}")
            case DeleteJob(name, uid):
                await self._delete(Kind.JOB, name, uid, self._cluster.delete_job(namespace, name, uid))
            case AskForCheckpoint(name, uid, request):
                annotations = {CHECKPOINT_ANNOTATION: request}
                self._event_handlers.put(Kind.POD, await self._cluster.annotate_pod(namespace, name, uid, annotations))
                log.info("asked pod %s for a checkpoint", name)
            case FailPod(name, uid, reason, message):
                log.warning("giving up pod %s: %s", name, message)
                status = failed_pod_status(reason, message, datetime.now(UTC))
                self._event_handlers.put(Kind.POD, await self._cluster.patch_pod_status(namespace, name, uid, status))
            case DeletePod(name, uid, force):
                deletion = self._cluster.delete_pod(namespace, name, uid, 0 if force else None)
                await self._delete(Kind.POD, name, uid, deletion)

    async def create(self, snapshot: Snapshot, manifest: Json) -> bool:
        """Create a child Job; returns whether it exists. If not, the store has the reason."""
        namespace, uid, name = snapshot.finetune_job.namespace, snapshot.finetune_job.uid, manifest["metadata"]["name"]
        begun = self._tried.setdefault(uid, monotonic())
        try:
            body = await self._cluster.create_job(namespace, manifest)
            log.info("created Job %s", name)
        except TakenError:
            body = await self._cluster.get_job(namespace, name)
            wrong = await self._foreign(snapshot, manifest, body)
            if wrong:
                return self._refused(snapshot, 409, wrong)
            self._event_handlers.look_again(
                uid
            )  # its pods may have told all they have to tell, before it was known as ours
            labels = manifest["metadata"]["labels"]
            if not labels.items() <= (body["metadata"].get("labels") or {}).items():
                patch = {"metadata": {"labels": labels}}
                body = await self._cluster.patch_job(namespace, name, body["metadata"]["uid"], patch)
        except RefusedError as error:
            return self._refused(snapshot, error.code, error.message)
        except UnavailableError as error:
            if error.code is None or error.code == HTTPStatus.UNAUTHORIZED or monotonic() - begun < UNWELL_SECONDS:
                raise
            return self._refused(snapshot, error.code, str(error).removeprefix(f"{error.code}: "))
        self._store.refusals.pop(uid, None)
        self._tried.pop(uid, None)
        created = self._store.created.get(uid, frozenset())
        self._store.created[uid] = created | {body["metadata"]["uid"]}
        self._event_handlers.put(Kind.JOB, body)
        return True

    async def _foreign(self, snapshot: Snapshot, manifest: Json, body: Json) -> str:
        """Why a Job with our name is not ours; empty where it is.

        One that is not known is believed if it is as we would create it: we may have been killed just after that. One
        that only claims to be ours is deleted, though not at the first look: another operator may be about to tell.
        """
        found = child_job_record(body)
        name = found.name
        if found.owner_uid != snapshot.finetune_job.uid:
            return f"a Job named {name} exists and is not of this FineTuneJob; delete it: kubectl delete job {name}"
        if found.uid in snapshot.created | recorded_uids(snapshot.finetune_job):
            return ""
        wrong = difference(manifest, body)
        if wrong and snapshot.refusal is not None and not found.deleting:
            await self._delete(Kind.JOB, name, found.uid, self._cluster.delete_job(found.namespace, name, found.uid))
        if wrong:
            return f"a Job named {name} exists that the operator did not make: {wrong} differs; it is deleted"
        return ""

    async def _restore_labels(self, namespace: str, name: str, uid: str, labels: dict[str, str]) -> bool:
        """Whether the Job exists and has its labels again, so that it is watched."""
        try:
            body = await self._cluster.patch_job(namespace, name, uid, {"metadata": {"labels": labels}})
        except (GoneError, ConflictError):  # gone; another one may have its name
            self._event_handlers.remove(Kind.JOB, uid)
            return False
        log.warning("Job %s had lost its labels", name)
        self._event_handlers.put(Kind.JOB, body)
        return True

    def _refused(self, snapshot: Snapshot, code: int, message: str) -> bool:
        log.warning("the API server refuses a Job: %s: %s", code, message)
        before = self._store.refusals.get(snapshot.finetune_job.uid)
        count = before.count + 1 if before is not None else 1
        self._store.refusals[snapshot.finetune_job.uid] = Refusal(code, message, datetime.now(UTC), count)
        return False

    async def _delete(self, kind: Kind, name: str, uid: str, request: Awaitable[Json]) -> None:
        try:
            body = await request
        except (GoneError, ConflictError):  # deleted by someone else; another one may have its name
            self._event_handlers.remove(kind, uid)
            return
        log.info("deleted %s/%s", kind, name)
        if "uid" in body["metadata"]:  # it stays until its pods have ended
            self._event_handlers.put(kind, body)
        else:  # only a Status: it is gone already
            self._event_handlers.remove(kind, uid)

    async def _delete_tune(self, snapshot: Snapshot) -> None:
        await self._cluster.delete_tune(
            snapshot.finetune_job.namespace, snapshot.finetune_job.name, snapshot.finetune_job.uid
        )
        log.info("deleted: ttlSecondsAfterFinished is over")
