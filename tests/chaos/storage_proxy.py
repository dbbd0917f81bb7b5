"""A proxy in front of an object store that can fail as networks and servers do, and that remembers every request.

Each connection carries one request: the heads go through as they are (signatures hold for them), but for
`Connection: close`. Bodies are streamed.
"""

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from storage_faults import Fault, Kind, Moment, Request, Trap

_CHUNK = 64 * 1024
_DELETED = re.compile(rb"<Key>(.*?)</Key>")
_BUSY = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>Please wait.</Message></Error>"


class _CutError(Exception):
    """This connection is over."""


@dataclass
class _Connection:
    """One request on its way: the client's side of it."""

    request: Request
    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    keys: bytes = b""
    """What a request that deletes several objects names."""


class StorageProxy:
    """Runs in a thread of its own, on a free port."""

    def __init__(self, server: str, *, upload_rate: float = 0) -> None:
        """Take the store's endpoint (`http://host:port`), and how many bytes a second go up to it (0: all)."""
        parts = urlsplit(server)
        self._server = (parts.hostname or "", parts.port or 80)
        self.upload_rate = upload_rate
        self.requests: list[Request] = []
        self._armed: list[Fault] = []
        self._trap: Trap | None = None
        self._writes = 0
        self._open = 0
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="storage-proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._line_is_free = 0.0

    @property
    def endpoint(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def writes(self) -> int:
        """Requests that write, since the last `arm`."""
        return self._writes

    def arm(self, *faults: Fault, trap: Trap | None = None) -> None:
        """Forget faults, trap and requests so far, and take these; also accept connections again."""
        self._call(self._arm(list(faults), trap))

    def settle(self, seconds: float = 60) -> None:
        """Wait until no request is under way; raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while self._open:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._open} requests are still under way")
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _arm(self, faults: list[Fault], trap: Trap | None) -> None:
        self._armed, self._trap, self._writes = faults, trap, 0
        self.requests = []
        await self._listen()

    async def _listen(self) -> None:
        if self._listener is not None and self._listener.is_serving():
            return
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", self._port, limit=_CHUNK)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _refuse_all(self) -> None:
        if self._listener is not None:
            self._listener.close()

    async def _close(self) -> None:
        self._refuse_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, _CutError):
            _reset(writer)
        finally:
            self._open -= 1
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return  # a connection that was never used
        request = _parse(head)
        self.requests.append(request)
        connection = _Connection(request, _closing(head), reader, writer)
        when = self._sprung(request)
        fault = next((fault for fault in self._armed if fault.hits(request)), None)
        if when is Moment.BEFORE:
            self._spring()
        if fault is not None:
            await self._fail(connection, fault)
        elif when is Moment.DURING:
            await self._send_half(connection)
            self._spring()
        else:
            answer = await self._forward(connection)
            if when is Moment.AFTER:
                await _whole(answer)
                self._spring()
            await _pass_back(answer, writer)

    def _sprung(self, request: Request) -> Moment | None:
        """Whether the trap is set for this request, and at which moment of it."""
        self._writes += request.writes
        return self._trap.when if self._trap is not None and self._trap.springs(request) else None

    def _spring(self) -> None:
        trap, self._trap = self._trap, None
        if trap is not None:
            trap.spring()
        raise _CutError

    async def _fail(self, connection: _Connection, fault: Fault) -> None:  # noqa: C901 -- one case a fault
        match fault.kind:
            case Kind.REFUSED:
                self._refuse_all()
                if fault.seconds:
                    self._loop.call_later(fault.seconds, lambda: self._loop.create_task(self._listen()))
                raise _CutError
            case Kind.SLOW_DOWN:
                await _refuse(connection, b"503 Slow Down", b"SlowDown")
            case Kind.ERROR:
                await _refuse(connection, b"500 Internal Server Error", b"InternalError")
            case Kind.LATENCY:
                await asyncio.sleep(fault.seconds)
                await _pass_back(await self._forward(connection), connection.writer)
            case Kind.CUT_UPLOAD:
                await self._send_half(connection)
                raise _CutError
            case Kind.CUT_DOWNLOAD | Kind.TRUNCATED:
                content = await _whole(await self._forward(connection))
                head, _, body = content.partition(b"\r\n\r\n")
                connection.writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
                await connection.writer.drain()
                if fault.kind is Kind.CUT_DOWNLOAD:
                    raise _CutError
            case Kind.LOST_ANSWER:
                await _whole(await self._forward(connection))
                raise _CutError
            case Kind.BLACK_HOLE:
                async for _ in _body(connection):
                    pass
                with suppress(TimeoutError):  # or until the client gives up
                    await asyncio.wait_for(connection.reader.read(), fault.seconds or None)
                raise _CutError

    async def _forward(self, connection: _Connection) -> "_Answer":
        """Send the whole request; returns the answer, of which only the status is read."""
        reader, writer = await asyncio.open_connection(*self._server, limit=_CHUNK)
        writer.write(connection.head)
        async for part in _body(connection):
            await self._paced(len(part))
            if "delete" in connection.request.query:
                connection.keys += part
            writer.write(part)
            await writer.drain()
        status = await reader.readuntil(b"\r\n")
        connection.request.status = int(status.split()[1])
        connection.request.deleted = [unescape(key.decode()) for key in _DELETED.findall(connection.keys)]
        return _Answer(status, reader, writer)

    async def _send_half(self, connection: _Connection) -> None:
        """Begin the request and never end it."""
        _, writer = await asyncio.open_connection(*self._server, limit=_CHUNK)
        writer.write(connection.head)
        left = connection.request.size // 2
        async for part in _body(connection):
            writer.write(part[:left])
            await writer.drain()
            left -= len(part)
            if left <= 0:
                break
        _reset(writer)
        writer.close()

    async def _paced(self, size: int) -> None:
        if self.upload_rate:  # all uploads share the line
            now = self._loop.time()
            self._line_is_free = max(now, self._line_is_free) + size / self.upload_rate
            await asyncio.sleep(self._line_is_free - now)


@dataclass
class _Answer:
    status: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    kept: bytes = b""

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer as it comes, to its end."""
        yield self.kept or self.status
        try:
            while part := await self.reader.read(_CHUNK):
                yield part
        finally:
            self.writer.close()


async def _whole(answer: _Answer) -> bytes:
    content = b"".join([part async for part in answer.parts()])
    answer.kept = content
    return content


async def _pass_back(answer: _Answer, writer: asyncio.StreamWriter) -> None:
    async for part in answer.parts():
        writer.write(part)
        await writer.drain()


async def _body(connection: _Connection) -> AsyncIterator[bytes]:
    left = connection.request.size
    while left > 0:
        part = await connection.reader.read(min(left, _CHUNK))
        if not part:
            raise _CutError  # the client is gone
        left -= len(part)
        yield part


async def _refuse(connection: _Connection, status: bytes, code: bytes) -> None:
    async for _ in _body(connection):
        pass
    body = _BUSY % code
    connection.request.status = int(status.split()[0])
    head = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    connection.writer.write(head % (status, len(body)) + (b"" if connection.request.verb == "HEAD" else body))
    await connection.writer.drain()


def _parse(head: bytes) -> Request:
    line, *lines = head.decode("latin-1").split("\r\n")
    verb, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
    if "transfer-encoding" in headers:
        raise ValueError(f"{verb} {target}: a body without Content-Length is nothing that S3 takes")
    path, _, query = target.partition("?")
    return Request(verb, unquote(path), query, int(headers.get("content-length", 0)))


def _closing(head: bytes) -> bytes:
    """The head with `Connection: close` in it, a header that no signature covers."""
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a crash does: with a reset instead of an end."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
