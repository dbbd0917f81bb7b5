"""Carries out what `reconcile` decides: writes (`writer`), then the status, then the events. One job at a time per key.

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
from finetune_operator.event_handlers import Intake
from finetune_operator.events import Story
from finetune_operator.lifecycle.children import with_child
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE, is_told
from finetune_operator.log import job_context
from finetune_operator.metrics import Metrics
from finetune_operator.plan import (
    CreateJob,
    DeleteTune,
    Found,
    LiveRecord,
    LookUp,
    Plan,
    Silence,
    World,
    Write,
)
from finetune_operator.polling import Poller
from finetune_operator.rate_limiter import Pace
from finetune_operator.status_limiter import Turns
from finetune_operator.store import Kind, Store
from finetune_operator.work_queue import Rank, WorkQueue
from finetune_operator.writer import Writer

log = logging.getLogger(__name__)

UNHURRIED_WRITES = 1
"""Statuses that tell no end, on their way at the same time. With more, a burst of jobs keeps the API server busy with
states that are over before anyone reads them; with one, each is written the sooner, the less there is to do."""

LOOK_SECONDS = 0.25
"""Time between two jobs for which is looked up what they wait for: listing events is dear where there are many."""
SLOW_WRITE_SECONDS = 2.0
"""After this long a status that is on its way lets the next one go: one that hangs must not hold up all others."""

Reconcile = Callable[[World], Plan]


class Controller:
    """Works on the queue until it is cancelled."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        queue: WorkQueue,
        story: Story,
        *,
        cluster: Cluster,
        metrics: Metrics,
        reconcile: Reconcile,
    ) -> None:
        self.poller: Poller | None = None
        self._store = store
        self._intake = intake
        self._queue = queue
        self._story = story
        self._cluster = cluster
        self._metrics = metrics
        self._reconcile = reconcile
        self._turns = Turns(UNHURRIED_WRITES, self._call)
        self._last_took = 0.0
        """Seconds that the API server needed for the last status that tells no end."""
        self._looks = Pace(LOOK_SECONDS)
        self._writer = Writer(store, intake, cluster)
        self._written: dict[str, float] = {}
        """When the status of a job was last written, by the loop's clock."""

    async def work(self) -> None:
        """Work on one key after the other; several of these may run side by side."""
        while True:
            async with self._queue.next() as key:
                await self._handle(key)

    def heard(self, key: str, record: LiveRecord) -> None:
        """Take what a trainer told. Newer figures alone wait until the status may be written again."""
        known = self._store.live.get(key)
        silence = self._store.silences.pop(key, None)
        if silence is not None and is_told(silence, datetime.now(UTC)):
            self._queue.add(key)
        self._store.live[key] = record  # even the same words: they say that the trainer still answers
        if known is not None and known.pod_uid == record.pod_uid and known.live == record.live:
            return
        if known is None or known.pod_uid != record.pod_uid or _without_figures(known) != _without_figures(record):
            self._queue.add(key)
        else:
            due = self._written.get(key, 0.0) + self._store.settings.status_seconds
            self._queue.add_after(key, due - monotonic())

    def silent(self, key: str, silence: Silence) -> None:
        """Take it that a trainer does not answer; the status says so once it has been so for a while."""
        known = self._store.silences.get(key)
        self._store.silences[key] = silence
        now = datetime.now(UTC)
        if is_told(silence, now) and (known is None or known.why != silence.why or not self._is_said(key)):
            self._queue.add(key)

    def _is_said(self, key: str) -> bool:
        tune = self._store.tunes.get(key)
        conditions = tune.status.get("conditions", ()) if tune is not None else ()
        return any(each.get("reason") == UNREACHABLE for each in conditions)

    async def _handle(self, key: str) -> None:
        world = self._store.world(key, datetime.now(UTC))
        if world is None:
            self._forget(key)
            return
        with job_context(world.tune.namespace, world.tune.name):
            result = await self._attempt(key, world)
        self._turns.give_back(key)
        self._metrics.untold.set(self._turns.waiting)
        self._metrics.reconciled(result)

    async def _attempt(self, key: str, world: World) -> str:
        """Reconcile once and see to what comes next; return how it went."""
        try:
            again = await self._carry_out(world)
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

    async def _carry_out(self, world: World) -> float:
        """Do what is to be done; return in how many seconds to look again."""
        uid, version = world.tune.uid, self._store.tunes.version(world.tune.uid)
        plan = await self._decide(world)
        made = [write for write in plan.writes if isinstance(write, CreateJob)]
        for write in made:
            if not await self._writer.create(world, write.manifest):
                return 0.0  # the refusal is part of the next world, and that reconcile writes the status
            plan = self._with_created(world, plan, write)
        others = [write for write in plan.writes if not isinstance(write, CreateJob)]
        differs = await self._writer.write_all(world, others)
        if any(isinstance(write, DeleteTune) for write in others) and not self._store.hindered.get(uid):
            return self._resync()
        if differs:
            known = self._store.world(uid, datetime.now(UTC))
            plan = replace(self._reconcile(known), writes=()) if known is not None else plan
        written = await self._report(world, plan, version)
        self._follow(uid, plan)
        if not written:
            return self._resync()  # its turn comes before
        self._store.heard(world)
        if plan.look_up is not None:  # others are before it
            self._queue.add_after(uid, random.uniform(5, 20))  # noqa: S311 -- spreads load
        tries = [refusal.next_try for refusal in self._store.hindered.get(uid, {}).values()]
        again_at = min([*tries, *filter(None, [plan.again_at])], default=None)
        if again_at is None:
            return self._resync()
        return min(self._resync(), (again_at - datetime.now(UTC)).total_seconds())

    async def _decide(self, world: World) -> Plan:
        """The plan, with what has to be looked up for it: that is rare, so it is not watched."""
        plan = self._reconcile(world)
        if plan.needs_run_file:
            world = await self._with_run_file(world, plan.needs_run_file)
            plan = self._reconcile(world)
        if plan.look_up is not None and self._looks.take():
            found = self._store.found[world.tune.uid] = await self._look_up(world, plan.look_up)
            plan = self._reconcile(replace(world, found=found))
        return plan

    async def _look_up(self, world: World, wanted: LookUp) -> Found:
        """Look up what may be looked up; where it can't be, the status says a little less."""
        found, namespace = Found(wanted.job_uid, world.now), world.tune.namespace
        try:
            if wanted.queue:
                return replace(found, queue=await self._cluster.queue_state(namespace, wanted.queue))
            message, when = await self._cluster.pod_refusal(namespace, wanted.job, wanted.job_uid)
        except ClusterError as error:
            log.debug("not looked up for Job %s: %s", wanted.job, error)
            return found
        return replace(found, refused=message, refused_at=when)

    async def _with_run_file(self, world: World, job: str) -> World:
        """The world with the order that a Job was made for: its FineTuneJob can't be read by this version."""
        body = await self._cluster.get_job(world.tune.namespace, job)
        annotations = body["spec"]["template"]["metadata"].get("annotations") or {}
        text = self._store.run_files[world.tune.uid] = annotations.get(RUN_ANNOTATION, "")
        log.warning("this version can't read the spec; going by the run file of Job %s", job)
        return replace(world, run_file=text)

    def _with_created(self, world: World, plan: Plan, write: Write) -> Plan:
        """The plan whose status also tells of the Job that `write` has created, so that it is known again."""
        if not isinstance(write, CreateJob):
            return plan
        name = write.manifest["metadata"]["name"]
        jobs = self._store.jobs.owned_by(world.tune.uid)
        created = self._store.created.get(world.tune.uid, frozenset())
        uid = next((job.uid for job in jobs if job.name == name and job.uid in created), None)
        return replace(plan, status=with_child(plan.status, name, uid)) if uid is not None else plan

    async def _report(self, world: World, plan: Plan, version: int) -> bool:
        """Write the status where it differs, then tell the story; return whether it is written now."""
        tune, status = world.tune, written_status(world.tune, plan.status)
        if status == tune.status:
            return True
        ended = "completionTime" in status
        if ended:
            self._turns.leave(tune.uid)
        elif not self._turns.take(tune.uid):
            return False
        begun = monotonic()
        slow = asyncio.get_running_loop().call_later(SLOW_WRITE_SECONDS, self._turns.give_back, tune.uid)
        try:
            body = await self._cluster.update_status(tune.namespace, tune.name, version, status)
        finally:
            slow.cancel()
        self._written[tune.uid] = monotonic()
        self._intake.put(Kind.TUNE, body)
        self._metrics.transition(tune.status, status)
        if ended:
            self._store.live.pop(tune.uid, None)
            self._store.silences.pop(tune.uid, None)
        else:
            self._last_took = self._written[tune.uid] - begun
        for event in plan.events:
            log.info("%s: %s", event.reason, event.message)
            self._story.tell(tune, event)
        return True

    def _call(self, key: str) -> None:
        """Let a key have its turn after a rest as long as the work: what can wait takes half of the time at most."""
        self._queue.add_after(key, self._last_took, Rank.TURN)

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
        self._turns.leave(key)
        self._written.pop(key, None)
        self._writer.forget(key)
        if self.poller is not None:
            self.poller.forget(key)

    def _resync(self) -> float:
        return self._store.settings.resync_seconds * random.uniform(0.8, 1.2)  # noqa: S311 -- spreads load


def _without_figures(record: LiveRecord) -> object:
    return record.live.model_copy(update={"progress": None})
