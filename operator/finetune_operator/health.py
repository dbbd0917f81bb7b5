"""HTTP servers of probes and metrics, and the heartbeat behind them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from finetune_operator.metrics import Metrics
from finetune_operator.work_queue import WorkQueue

_BEAT_SECONDS = 1.0
_STUCK_SECONDS = 300.0
"""A worker that is at one key for this long hangs: each of its requests has a timeout of half a minute."""


class Heartbeat:
    """Measures, once a second, event loop delay and the longest time of a worker at a key."""

    def __init__(self, metrics: Metrics, queues: dict[str, WorkQueue]) -> None:
        self._metrics = metrics
        self._queues = queues

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = monotonic() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self._metrics.lag.set(max(0.0, monotonic() - due))
            for name, queue in self._queues.items():
                self._metrics.longest.labels(name).set(queue.longest_work())

    def alive(self) -> str:
        """Reason that the operator is not live, or empty. Any response shows that the event loop runs."""
        for name, queue in self._queues.items():
            if (seconds := queue.longest_work()) > _STUCK_SECONDS:
                return f"a worker of queue {name} has been at one key for {seconds:.0f} s"
        return ""


@asynccontextmanager
async def serve_health(port: int, alive: Callable[[], str], ready: Callable[[], str]) -> AsyncIterator[int]:
    """Serve `/healthz` and `/readyz`, whose checks return a problem or empty text; yields the port."""

    def answer(check: Callable[[], str]) -> Callable[[web.Request], object]:
        async def respond(_request: web.Request) -> web.Response:
            wrong = check()
            return web.Response(status=503 if wrong else 200, text=wrong or "ok")

        return respond

    async with _serve(port, {"/healthz": answer(alive), "/readyz": answer(ready)}) as taken:
        yield taken


@asynccontextmanager
async def serve_metrics(port: int, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serve `/metrics`; yields the port."""

    async def respond(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async with _serve(port, {"/metrics": respond}) as taken:
        yield taken


@asynccontextmanager
async def _serve(port: int, routes: dict[str, Callable[[web.Request], object]]) -> AsyncIterator[int]:
    app = web.Application()
    for path, respond in routes.items():
        app.router.add_get(path, respond)  # type: ignore[arg-type]  # a coroutine function
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, port=port, shutdown_timeout=1)
        await site.start()
        addresses = sorted(runner.addresses, key=len)  # IPv4 first; a free port is another one for each family
        yield addresses[0][1]
    finally:
        await runner.cleanup()
