"""Asks running trainers how they go. An answer that fails, is late, long or odd is as good as none."""

import asyncio
import ipaddress
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
from pydantic import ValidationError

from finetune_api.live import LIVE_BYTES, Live
from finetune_api.pod import PORT, PROGRESS_PATH
from finetune_api.stored import read_stored_json
from finetune_operator.plan import LiveRecord
from finetune_operator.queue import WorkQueue
from finetune_operator.records import PodRecord

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Trainers that are asked at the same time."""
_PATIENCE = aiohttp.ClientTimeout(total=3)


class BadAnswerError(Exception):
    """A trainer answered with something that is no `Live` of its job."""


class Poller:
    """Asks the pods that it follows every few seconds, and tells `heard` what is new."""

    def __init__(
        self,
        queue: WorkQueue,
        seconds: float,
        heard: Callable[[str, LiveRecord], None],
        count: Callable[[str], None],
    ) -> None:
        """Take `count` to be told how each poll went: ok, unreachable or bad."""
        self._queue = queue
        self._seconds = seconds
        self._heard = heard
        self._count = count
        self._pods: dict[str, PodRecord] = {}

    def follow(self, key: str, pod: PodRecord) -> None:
        """Ask this pod for the progress of the FineTuneJob with UID `key`, and no other."""
        known = self._pods.get(key)
        self._pods[key] = pod
        if known is None or known.uid != pod.uid:
            self._queue.add_after(key, random.uniform(0, min(1.0, self._seconds)))  # noqa: S311 -- spreads load

    def forget(self, key: str) -> None:
        """Ask no pod of this job any more."""
        if self._pods.pop(key, None) is not None:
            self._queue.drop(key)

    async def run(self) -> None:
        """Ask, for ever."""
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(AT_ONCE):
                tasks.create_task(self._work(session))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            async with self._queue.next() as key:
                pod = self._pods.get(key)
                if pod is None:
                    continue
                live = await self._ask(session, key, pod)
                if live is not None:
                    self._heard(key, LiveRecord(pod.uid, live, datetime.now(UTC)))
                if key in self._pods:
                    self._queue.add_after(key, self._seconds * random.uniform(0.8, 1.2))  # noqa: S311 -- as above

    async def _ask(self, session: aiohttp.ClientSession, key: str, pod: PodRecord) -> Live | None:
        try:
            live = await read_live(session, f"http://{_host(pod.ip)}:{PORT}{PROGRESS_PATH}", key)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("pod %s does not tell its progress: %r", pod.name, error)
            self._count("unreachable")
            return None
        except BadAnswerError as error:
            log.debug("pod %s tells no progress: %s", pod.name, error)
            self._count("bad")
            return None
        self._count("ok")
        return live


async def read_live(session: aiohttp.ClientSession, url: str, uid: str) -> Live:
    """Ask for the progress of the FineTuneJob with that UID.

    Raises `BadAnswerError`, or what aiohttp raises where there is no answer.
    """
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise BadAnswerError(f"HTTP {answer.status}")
        text = b""
        async for part in answer.content.iter_any():
            text += part
            if len(text) > LIVE_BYTES:
                raise BadAnswerError(f"more than {LIVE_BYTES} bytes")
    try:
        live = read_stored_json(Live, text)
    except ValidationError as error:
        raise BadAnswerError(f"no Live: {error.error_count()} fields are wrong") from error
    if live.uid != uid:
        raise BadAnswerError(f"it is of job {live.uid}")
    return live


def _host(ip: str) -> str:
    """The address as it stands in a URL. Raises `BadAnswerError` for anything else: a URL is made of it."""
    try:
        return f"[{ip}]" if ipaddress.ip_address(ip).version == 6 else ip
    except ValueError as error:
        raise BadAnswerError(str(error)) from error
