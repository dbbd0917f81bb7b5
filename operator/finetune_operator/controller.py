"""Reconcile loop: executes the plan of `reconcile`: writes, then status, then events; serial per key.

It may be killed between any two requests: each reconcile starts from what the cluster holds, names of children are
fixed, and every write names the UID or the resource version that it is meant for.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from finetune_api.pod import RUN_ANNOTATION
from finetune_operator.cluster import (
    Cluster,
    ClusterError,
    ConflictError,
    GoneError,
    UnavailableError,
)
from finetune_operator.codec import written_status
from finetune_operator.event_handlers import EventHandlers
from finetune_operator.events import EventRecorder
from finetune_operator.lifecycle.children import with_child
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE, is_reportable
from finetune_operator.log import job_context
from finetune_operator.metrics import Metrics
from finetune_operator.plan import (
    CreateJob,
    DeleteFineTuneJob,
    LiveRecord,
    LookUpRequest,
    LookUpResult,
    Plan,
    Snapshot,
    UnansweredPolls,
    Write,
)
from finetune_operator.polling import Poller
from finetune_operator.rate_limiter import RateLimiter
from finetune_operator.status_limiter import StatusLimiter
from finetune_operator.store import Kind, Store
from finetune_operator.work_queue import Priority, WorkQueue
from finetune_operator.writer import Writer

log = logging.getLogger(__name__)

PROGRESS_WRITES_AT_ONCE = 1
"""Statuses that tell no end, on their way at the same time. With more, a burst of jobs keeps the API server busy with
states that are over before anyone reads them; with one, each is written the sooner, the less there is to do."""

LOOK_SECONDS = 0.25
"""Time between two jobs for which is looked up what they wait for: listing events is dear where there are many."""
SLOW_WRITE_SECONDS = 2.0
"""After this long a status that is on its way lets the next one go: one that hangs must not hold up all others."""

Reconcile = Callable[[Snapshot], Plan]


class Controller:
    """Processes the work queue until cancelled."""

    def __init__(
        self,
        store: Store,
        event_handlers: EventHandlers,
        queue: WorkQueue,
        event_recorder: EventRecorder,
        *,
        cluster: Cluster,
        metrics: Metrics,
        reconcile: Reconcile,
    ) -> None:
        self.poller: Poller | None = None
        self._store = store
        self._event_handlers = event_handlers
        self._queue = queue
        self._event_recorder = event_recorder
        self._cluster = cluster
        self._metrics = metrics
        self._reconcile = reconcile
        self._status_limiter = StatusLimiter(PROGRESS_WRITES_AT_ONCE, self._call)
        self._last_took = 0.0
        """Seconds that the API server needed for the last status that tells no end."""
        self._looks = RateLimiter(LOOK_SECONDS)
        self._writer = Writer(store, event_handlers, cluster)
        self._written: dict[str, float] = {}
        """When the status of a job was last written, by the loop's clock."""

    async def work(self) -> None:
        """Process keys one after another; several of these may run concurrently."""
        while True:
            async with self._queue.next() as key:
                await self._handle(key)

    def progress_received(self, key: str, record: LiveRecord) -> None:
        """Take progress of a trainer. New metrics alone wait until the next status write is allowed."""
        known = self._store.live.get(key)
        unanswered = self._store.unanswered_polls.pop(key, None)
        if unanswered is not None and is_reportable(unanswered, datetime.now(UTC)):
            self._queue.add(key)
        self._store.live[key] = record  # even the same words: they say that the trainer still answers
        if known is not None and known.pod_uid == record.pod_uid and known.live == record.live:
            return
        if known is None or known.pod_uid != record.pod_uid or _without_figures(known) != _without_figures(record):
            self._queue.add(key)
        else:
            due = self._written.get(key, 0.0) + self._store.settings.status_seconds
            self._queue.add_after(key, due - monotonic())

    def poll_unanswered(self, key: str, unanswered: UnansweredPolls) -> None:
        """Count an unanswered poll; reported in the status once it lasts."""
        known = self._store.unanswered_polls.get(key)
        self._store.unanswered_polls[key] = unanswered
        now = datetime.now(UTC)
        if is_reportable(unanswered, now) and (known is None or known.why != unanswered.why or not self._is_said(key)):
            self._queue.add(key)

    def _is_said(self, key: str) -> bool:
        finetune_job = self._store.finetune_jobs.get(key)
        conditions = finetune_job.status.get("conditions", ()) if finetune_job is not None else ()
        return any(each.get("reason") == UNREACHABLE for each in conditions)

    async def _handle(self, key: str) -> None:
        snapshot = self._store.snapshot(key, datetime.now(UTC))
        if snapshot is None:
            self._forget(key)
            return
        with job_context(snapshot.finetune_job.namespace, snapshot.finetune_job.name):
            result = await self._attempt(key, snapshot)
        self._status_limiter.give_back(key)
        self._metrics.statuses_pending.set(self._status_limiter.waiting)
        self._metrics.reconciled(result)

    async def _attempt(self, key: str, snapshot: Snapshot) -> str:
        """Reconcile once and schedule the next; returns the result."""
        try:
            again = await self._carry_out(snapshot)
        except ConflictError as conflict:
            log.debug("what was known is out of date: %s", conflict)
            self._queue.retry(key)
            return "conflict"
        except GoneError as gone:
            log.debug("gone meanwhile: %s", gone)
            self._queue.retry(key, at_least=1)
            return "gone"
        except UnavailableError as error:
            log.warning("the API server does not answer: %s; trying again", error)
            self._queue.retry(key, at_least=error.retry_after)
            return "unavailable"
        except ClusterError as error:
            log.error("the API server refuses: %s", error)  # noqa: TRY400 -- the place in the code tells nothing
            self._queue.retry(key, at_least=1)
            return "refused"
        except Exception:
            log.exception("a defect of the operator; other jobs are not affected")
            self._queue.retry(key, at_least=1)
            return "error"
        self._queue.forget(key)
        self._queue.add_after(key, again)
        return "done"

    async def _carry_out(self, snapshot: Snapshot) -> float:
        """Execute the plan; returns the seconds until the next reconcile."""
        uid, version = snapshot.finetune_job.uid, self._store.finetune_jobs.version(snapshot.finetune_job.uid)
        plan = await self._decide(snapshot)
        made = [write for write in plan.writes if isinstance(write, CreateJob)]
        for write in made:
            if not await self._writer.create(snapshot, write.manifest):
                return 0.0  # the refusal is part of the next world, and that reconcile writes the status
            plan = self._with_created(snapshot, plan, write)
        others = [write for write in plan.writes if not isinstance(write, CreateJob)]
        differs = await self._writer.write_all(snapshot, others)
        if any(isinstance(write, DeleteFineTuneJob) for write in others) and not self._store.refused_writes.get(uid):
            return self._resync()
        if differs:
            known = self._store.snapshot(uid, datetime.now(UTC))
            plan = replace(self._reconcile(known), writes=()) if known is not None else plan
        written = await self._report(snapshot, plan, version)
        self._follow(uid, plan)
        if not written:
            return self._resync()  # its turn comes before
        self._store.drop_recorded(snapshot)
        if plan.look_up is not None:  # others are before it
            self._queue.add_after(uid, random.uniform(5, 20))  # noqa: S311 -- spreads load
        tries = [refusal.next_try for refusal in self._store.refused_writes.get(uid, {}).values()]
        again_at = min([*tries, *filter(None, [plan.again_at])], default=None)
        if again_at is None:
            return self._resync()
        return min(self._resync(), (again_at - datetime.now(UTC)).total_seconds())

    async def _decide(self, snapshot: Snapshot) -> Plan:
        """The plan, with lookups of unwatched objects where needed, which is rare."""
        plan = self._reconcile(snapshot)
        if plan.needs_run_file:
            snapshot = await self._with_run_file(snapshot, plan.needs_run_file)
            plan = self._reconcile(snapshot)
        if plan.look_up is not None and self._looks.take():
            found = self._store.found[snapshot.finetune_job.uid] = await self._look_up(snapshot, plan.look_up)
            plan = self._reconcile(replace(snapshot, found=found))
        return plan

    async def _look_up(self, snapshot: Snapshot, wanted: LookUpRequest) -> LookUpResult:
        """Look up unwatched objects; where that fails, the status has less detail."""
        found, namespace = LookUpResult(wanted.job_uid, snapshot.now), snapshot.finetune_job.namespace
        try:
            if wanted.queue:
                return replace(found, queue=await self._cluster.queue_state(namespace, wanted.queue))
            message, when = await self._cluster.pod_refusal(namespace, wanted.job, wanted.job_uid)
        except ClusterError as error:
            log.debug("not looked up for Job %s: %s", wanted.job, error)
            return found
        return replace(found, refused=message, refused_at=when)

    async def _with_run_file(self, snapshot: Snapshot, job: str) -> Snapshot:
        """The snapshot with the run file of its Job, for a FineTuneJob that this version can't decode."""
        body = await self._cluster.get_job(snapshot.finetune_job.namespace, job)
        annotations = body["spec"]["template"]["metadata"].get("annotations") or {}
        text = self._store.run_files[snapshot.finetune_job.uid] = annotations.get(RUN_ANNOTATION, "")
        log.warning("this version can't read the spec; going by the run file of Job %s", job)
        return replace(snapshot, run_file=text)

    def _with_created(self, snapshot: Snapshot, plan: Plan, write: Write) -> Plan:
        """The plan whose status records the Job that `write` created, so that it is recognised later."""
        if not isinstance(write, CreateJob):
            return plan
        name = write.manifest["metadata"]["name"]
        jobs = self._store.jobs.owned_by(snapshot.finetune_job.uid)
        created = self._store.created.get(snapshot.finetune_job.uid, frozenset())
        uid = next((job.uid for job in jobs if job.name == name and job.uid in created), None)
        return replace(plan, status=with_child(plan.status, name, uid)) if uid is not None else plan

    async def _report(self, snapshot: Snapshot, plan: Plan, version: int) -> bool:
        """Write the status if it differs, then send events; returns whether the status is up to date."""
        finetune_job, status = snapshot.finetune_job, written_status(snapshot.finetune_job, plan.status)
        if status == finetune_job.status:
            return True
        ended = "completionTime" in status
        if ended:
            self._status_limiter.leave(finetune_job.uid)
        elif not self._status_limiter.take(finetune_job.uid):
            return False
        begun = monotonic()
        slow = asyncio.get_running_loop().call_later(
            SLOW_WRITE_SECONDS, self._status_limiter.give_back, finetune_job.uid
        )
        try:
            body = await self._cluster.update_status(finetune_job.namespace, finetune_job.name, version, status)
        finally:
            slow.cancel()
        self._written[finetune_job.uid] = monotonic()
        self._event_handlers.put(Kind.FINETUNE_JOB, body)
        self._metrics.transition(finetune_job.status, status)
        if ended:
            self._store.live.pop(finetune_job.uid, None)
            self._store.unanswered_polls.pop(finetune_job.uid, None)
        else:
            self._last_took = self._written[finetune_job.uid] - begun
        for event in plan.events:
            log.info("%s: %s", event.reason, event.message)
            self._event_recorder.tell(finetune_job, event)
        return True

    def _call(self, key: str) -> None:
        """Re-queue a key after a pause as long as its work: deferrable work takes half of the time at most."""
        self._queue.add_after(key, self._last_took, Priority.TURN)

    def _follow(self, key: str, plan: Plan) -> None:
        if self.poller is None:
            return
        if plan.poll is not None and plan.poll.ip:
            self.poller.follow(key, plan.poll)
        else:
            self.poller.forget(key)

    def _forget(self, key: str) -> None:
        self._store.forget(key)
        self._queue.drop(key)
        self._status_limiter.leave(key)
        self._written.pop(key, None)
        self._writer.forget(key)
        if self.poller is not None:
            self.poller.forget(key)

    def _resync(self) -> float:
        return self._store.settings.resync_seconds * random.uniform(0.8, 1.2)  # noqa: S311 -- spreads load


def _without_figures(record: LiveRecord) -> object:
    return record.live.model_copy(update={"progress": None})
