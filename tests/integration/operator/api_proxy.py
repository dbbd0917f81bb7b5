"""A proxy in front of the API server that can fail as networks do, and that tells of each write when it is done."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from writes import is_write

_PASSED_ON = ("Authorization", "Content-Type", "Accept")
_EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired"}}


class ApiProxy:
    """Runs in a thread of its own.

    `written` is called with the number of each write once the API server has done it, before the answer goes back.
    """

    def __init__(
        self, server: str, authority: Path, port: int, written: Callable[[int], None] = lambda _n: None
    ) -> None:
        self._server = server
        self._trust = ssl.create_default_context(cafile=authority)
        self._port = port
        self._written = written
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._watches: dict[web.StreamResponse, web.Request] = {}
        self._work: set[asyncio.Future[web.StreamResponse]] = set()
        self._mute: set[web.StreamResponse] = set()
        self._expired = 0
        """Watches still to be told that their version is too old."""
        self.writes: list[str] = []

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self) -> None:
        """Listen."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    def shut(self) -> None:
        """Cut all connections, and refuse new ones until `open`."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)

    def freeze_watches(self) -> None:
        """Let the watches that are open now stay open, and never say anything again."""
        self._mute |= self._watches.keys()

    def expire_watches(self) -> None:
        """Cut the watches that are open, and tell those that want to go on that their version is too old."""
        asyncio.run_coroutine_threadsafe(self._expire_watches(), self._loop).result(10)

    async def _expire_watches(self) -> None:
        self._expired = len(self._watches)
        for request in list(self._watches.values()):
            if request.transport is not None:
                request.transport.abort()

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._trust), auto_decompress=False
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def _shut(self) -> None:
        for work in list(self._work):
            work.cancel()
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0.1)  # the transports close in the next turns of the loop

    async def _take(self, request: web.Request) -> web.StreamResponse:
        work = asyncio.ensure_future(self._pass_on(request))
        self._work.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            self._work.discard(work)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        watch = "watch" in request.query
        if watch and self._expired:
            self._expired -= 1
            return web.Response(text=json.dumps(_EXPIRED) + "\n")
        timeout = aiohttp.ClientTimeout(total=None if watch else 30)
        url = f"{self._server}{request.raw_path}"
        async with self._session.request(
            request.method, url, headers=headers, data=await request.read() or None, timeout=timeout
        ) as answer:
            if watch:
                return await self._stream(request, answer)
            body = await answer.read()
            if is_write(request.method, request.path_qs):
                self.writes.append(f"{request.method} {request.path} {answer.status}")
                self._written(len(self.writes))
            return web.Response(status=answer.status, body=body, headers=_content(answer))

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_content(answer))
        await response.prepare(request)
        self._watches[response] = request
        try:
            async for part in answer.content.iter_any():
                if response not in self._mute:
                    await response.write(part)
        except (ConnectionError, aiohttp.ClientError):
            pass  # either side went away
        finally:
            del self._watches[response]
        return response


def _content(answer: aiohttp.ClientResponse) -> dict[str, str]:
    names = ("Content-Type", "Content-Encoding", "Retry-After")
    return {name: answer.headers[name] for name in names if name in answer.headers}
