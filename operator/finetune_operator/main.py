"""Assembly of the operator, which runs until a signal or the first failure; a restart recovers."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import kopf
from prometheus_client import disable_created_metrics

from finetune_operator.api_trace import counting_trace, watching_trace
from finetune_operator.cluster import PAGE, Cluster
from finetune_operator.controller import Controller, Reconcile
from finetune_operator.event_handlers import EventHandlers
from finetune_operator.events import EventRecorder
from finetune_operator.health import Heartbeat, serve_health, serve_metrics
from finetune_operator.kopf_adapter import kopf_settings, make_registry
from finetune_operator.metrics import Metrics
from finetune_operator.permissions import check_permissions
from finetune_operator.polling import Poller
from finetune_operator.profile_check import check_profiles
from finetune_operator.relist import Relister
from finetune_operator.settings import Settings
from finetune_operator.store import Store
from finetune_operator.watch_access import WatchAccess, WatchAccessError
from finetune_operator.work_queue import WorkQueue

log = logging.getLogger(__name__)

_ENDING_SECONDS = 5.0
"""How long kopf's tasks may take to end."""


class Operator:
    """One operator process."""

    def __init__(
        self, settings: Settings, cluster: Cluster, metrics: Metrics, store: Store, reconcile: Reconcile
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._metrics = metrics
        self._store = store
        self._queue = WorkQueue(metrics.queue("finetunejobs"))
        self._polls = WorkQueue(metrics.queue("progress"))
        self._event_handlers = EventHandlers(store, self._queue)
        self._synced = asyncio.Event()
        self._stopping = asyncio.Event()
        self._event_recorder = EventRecorder(cluster)
        self._controller = Controller(
            store,
            self._event_handlers,
            self._queue,
            self._event_recorder,
            cluster=cluster,
            metrics=metrics,
            reconcile=reconcile,
        )
        controller = self._controller
        self._poller = Poller(
            self._polls,
            settings.poll_seconds,
            controller.progress_received,
            metrics.polled,
            on_unanswered=controller.poll_unanswered,
        )
        self._controller.poller = self._poller
        self._heartbeat = Heartbeat(metrics, {"finetunejobs": self._queue, "progress": self._polls})

    async def run(self) -> None:
        """Run until a signal comes. Raises what a part failed with."""
        async with AsyncExitStack() as stack:
            health = await stack.enter_async_context(
                serve_health(self._settings.health_port, self._heartbeat.alive, self._unready)
            )
            port = await stack.enter_async_context(serve_metrics(self._settings.metrics_port, self._metrics.registry))
            log.info("probes on port %d, metrics on port %d", health, port)
            served = await check_permissions(self._cluster, self._settings.namespaces)
            watch_access = WatchAccess(self._cluster, self._settings.namespaces, served)
            self._metrics.left_out.set(watch_access.left_out)
            trying = asyncio.create_task(check_profiles(self._cluster, self._settings, served, self._metrics))
            stack.callback(trying.cancel)
            relister = Relister(self._cluster, self._event_handlers, served, self._on_synced)
            await _until_one_ends(
                self._wait_for_signal,
                lambda: self._watch(served, relister, watch_access),
                relister.run,
                watch_access.run,
                self._poller.run,
                self._event_recorder.run,
                self._heartbeat.run,
                *[self._work] * self._settings.workers,
            )

    async def _watch(self, namespaces: list[str], relister: Relister, watch_access: WatchAccess) -> None:
        """Run kopf until one of its tasks ends, which means failure: kopf itself may wait forever then."""
        trace = watching_trace(relister.ask, self._metrics.watched, watch_access.failed)
        registry = make_registry(self._event_handlers, lambda: self._cluster.session(trace), self._metrics.watched)
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=kopf_settings(kopf.OperatorSettings(), PAGE),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
        )
        for number in (signal.SIGINT, signal.SIGTERM):  # kopf has set its own, which would wait for our tasks to end
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        running = asyncio.ensure_future(kopf.run_tasks(tasks, ignored=asyncio.all_tasks()))
        try:
            await asyncio.wait([running, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
            await asyncio.wait([running], timeout=_ENDING_SECONDS)
        raise WatchAccessError("a watch has ended for good; starting again")

    async def _wait_for_signal(self) -> None:
        await self._stopping.wait()
        log.info("stopping on a signal")

    async def _work(self) -> None:
        await self._synced.wait()
        await self._controller.work()

    def _on_synced(self) -> None:
        for finetune_job in self._store.finetune_jobs:
            self._queue.add(finetune_job.uid)
        store = self._store
        log.info("synced: %d jobs, %d children, %d pods", len(store.finetune_jobs), len(store.jobs), len(store.pods))
        self._synced.set()

    def _unready(self) -> str:
        return "" if self._synced.is_set() else "not everything is listed yet"


async def operate(settings: Settings, kubeconfig: Path | None, reconcile: Reconcile) -> None:
    """Run an operator until a signal. Raises `SystemExit` for a cluster without CRD or rights."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client types most of it
    store = Store(settings)
    metrics = Metrics(store)
    cluster = await Cluster.connect(kubeconfig, counting_trace(metrics.requested))
    try:
        await Operator(settings, cluster, metrics, store, reconcile).run()
    except WatchAccessError as error:
        raise SystemExit(str(error)) from error
    finally:
        await cluster.close()


async def _until_one_ends(*parts: Callable[[], Awaitable[None]]) -> None:
    """Run all; when the first ends, cancel the others. Raises its exception."""
    tasks = [asyncio.ensure_future(part()) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
