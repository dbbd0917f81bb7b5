"""Polls of running trainers for progress. A failed, late, long or invalid response counts as none."""

import asyncio
import ipaddress
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from pydantic import ValidationError

from finetune_api.live import LIVE_BYTES, Live
from finetune_api.pod import PORT, PROGRESS_PATH
from finetune_api.stored import read_stored_json
from finetune_operator.plan import LiveRecord, UnansweredPolls
from finetune_operator.poll_concurrency import PollConcurrency
from finetune_operator.records import PodRecord
from finetune_operator.work_queue import WorkQueue

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Trainers that are asked at the same time."""
A_SECOND = 200
"""Questions a second: a larger fleet is asked less often, each as long as `LONGEST_SECONDS` after the one before."""
LONGEST_SECONDS = 40.0
"""An answer is fresh for a minute: stalls are noticed in the largest fleet, too."""
UNANSWERED_SECONDS = 60.0
"""Longest time between two questions to a pod that does not answer."""
_PATIENCE = aiohttp.ClientTimeout(total=3)


class BadAnswerError(Exception):
    """A response that is no valid `Live` of the job."""


@dataclass
class _Followed:
    pod: PodRecord
    failures: int = 0
    """Questions in a row that were not answered."""
    since: datetime | None = None
    """When the first of them was asked."""
    proven: bool = False
    """Whether the last question was answered."""


class Poller:
    """Polls `/progress` of the pods that it follows; calls `on_progress` with answers, `on_unanswered` without."""

    def __init__(
        self,
        queue: WorkQueue,
        seconds: float,
        on_progress: Callable[[str, LiveRecord], None],
        count: Callable[[str], None],
        on_unanswered: Callable[[str, UnansweredPolls], None] = lambda _key, _silence: None,
    ) -> None:
        """Take the callbacks; `count` receives the result of each poll: ok, unreachable or bad."""
        self._queue = queue
        self._seconds = seconds
        self._on_progress = on_progress
        self._count = count
        self._on_unanswered = on_unanswered
        self._pods: dict[str, _Followed] = {}
        self._concurrency = PollConcurrency(AT_ONCE, self._pods.__contains__)

    def follow(self, key: str, pod: PodRecord) -> None:
        """Poll this pod for the progress of the FineTuneJob with UID `key`, and no other."""
        known = self._pods.get(key)
        if known is not None and known.pod.uid == pod.uid:
            known.pod = pod
            return
        self._pods[key] = _Followed(pod)
        self._queue.add_after(key, random.uniform(0, min(1.0, self._seconds)))  # noqa: S311 -- spreads load

    def forget(self, key: str) -> None:
        """Stop polling pods of this job."""
        if self._pods.pop(key, None) is not None:
            self._queue.drop(key)

    async def run(self) -> None:
        """Poll until cancelled. Connections are closed at once, which bounds open files."""
        connector = aiohttp.TCPConnector(limit=AT_ONCE, force_close=True)
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, connector=connector) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(AT_ONCE):
                tasks.create_task(self._work(session))

    def pause(self, failures: int) -> float:
        """Seconds until the next poll of a pod after `failures` unanswered ones."""
        usual = max(self._seconds, min(LONGEST_SECONDS, len(self._pods) / A_SECOND))
        return max(usual, min(UNANSWERED_SECONDS, usual * 2.0 ** min(max(0, failures - 1), 10)))

    async def _work(self, session: aiohttp.ClientSession) -> None:
        while True:
            async with self._queue.next() as key:
                followed = self._pods.get(key)
                if followed is not None:
                    await self._in_its_lane(session, key, followed)

    async def _in_its_lane(self, session: aiohttp.ClientSession, key: str, followed: _Followed) -> None:
        namespace, proven = followed.pod.namespace, followed.proven
        if not self._concurrency.enter(key, namespace, proven=proven):
            return
        try:
            await self._poll(session, key, followed)
        finally:
            for other in self._concurrency.leave(namespace, proven=proven):
                self._queue.add(other)

    async def _poll(self, session: aiohttp.ClientSession, key: str, followed: _Followed) -> None:
        pod, asked = followed.pod, datetime.now(UTC)
        live, why = await self._ask(session, key, pod)
        if self._pods.get(key) is not followed:
            return
        if live is not None:
            followed.failures, followed.since, followed.proven = 0, None, True
            self._on_progress(key, LiveRecord(pod.uid, live, datetime.now(UTC)))
        else:
            followed.failures, followed.since, followed.proven = followed.failures + 1, followed.since or asked, False
            self._on_unanswered(key, UnansweredPolls(pod.uid, followed.since, followed.failures, why))
        pause = self.pause(followed.failures)
        self._queue.add_after(key, pause * random.uniform(0.8, 1.2))  # noqa: S311 -- as above

    async def _ask(self, session: aiohttp.ClientSession, key: str, pod: PodRecord) -> tuple[Live | None, str]:
        """The response, or why there is none."""
        try:
            live = await read_live(session, f"http://{_host(pod.ip)}:{PORT}{PROGRESS_PATH}", key)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.debug("pod %s does not report its progress: %r", pod.name, error)
            self._count("unreachable")
            return None, "no answer"
        except BadAnswerError as error:
            log.debug("pod %s reports no progress: %s", pod.name, error)
            self._count("bad")
            return None, str(error)
        self._count("ok")
        return live, ""


async def read_live(session: aiohttp.ClientSession, url: str, uid: str) -> Live:
    """Request the progress of the FineTuneJob with that UID.

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
    """The address for a URL. Raises `BadAnswerError` for anything but an IP address."""
    try:
        return f"[{ip}]" if ipaddress.ip_address(ip).version == 6 else ip
    except ValueError as error:
        raise BadAnswerError(str(error)) from error
