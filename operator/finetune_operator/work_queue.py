"""Work queue with deduplication, priorities, delays and back-off, as client-go's.

As client-go's, whose promises it keeps: a key added while it is worked on is worked on again, never at the same time.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from time import monotonic
from typing import Protocol

FIRST_RETRY_SECONDS = 0.005
LONGEST_RETRY_SECONDS = 60.0
_NO_CONTEXT = Context()
"""Of timers. That of the caller, which each would keep otherwise, holds the raw object that the news is about."""


class Priority(IntEnum):
    """Priority of a key."""

    NEW = 0
    """A FineTuneJob that nobody has looked at yet."""
    TURN = 1
    """A key that others wait for: it holds what only a few may hold."""
    REST = 2


_HANDICAP = {Priority.NEW: 0.0, Priority.TURN: 10.0, Priority.REST: 20.0}
"""Seconds by which a key of a rank counts as later than it came: who has waited for longer goes before newer ones of a
better rank, so that a stream of new jobs never keeps a suspension waiting for good."""


class QueueObserver(Protocol):
    """Observer of the queue: `metrics.QueueMetrics`."""

    def added(self, depth: int) -> None:
        """A key was queued."""

    def taken(self, depth: int, waited: float) -> None:
        """A worker took a key that was queued for this many seconds."""

    def done(self, worked: float) -> None:
        """A worker spent this many seconds on a key."""

    def retried(self) -> None:
        """A key was queued again after a failure."""


@dataclass(frozen=True)
class _Wait:
    rank: Priority
    since: float


class WorkQueue:
    """Keys to process. For one event loop."""

    def __init__(self, observer: QueueObserver) -> None:
        self._observer = observer
        self._line: asyncio.PriorityQueue[tuple[float, int, str]] = asyncio.PriorityQueue()
        self._number = count()
        self._waiting: dict[str, _Wait] = {}
        self._working: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}

    def add(self, key: str, rank: Priority = Priority.REST) -> None:
        """Queue a key, unless it is queued with this priority or a higher one."""
        self._cancel_timer(key)
        known = self._waiting.get(key)
        if known is not None and known.rank <= rank:
            return
        self._waiting[key] = _Wait(rank, known.since if known is not None else monotonic())
        if key not in self._working:
            self._line_up(key)
        if known is None:
            self._observer.added(self.depth)

    def add_after(self, key: str, seconds: float, rank: Priority = Priority.REST) -> None:
        """Queue a key later. Of several times for a key, the earliest counts."""
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        due, timer = loop.time() + max(0.0, seconds), self._timers.get(key)
        if timer is None or due < timer.when():
            self._cancel_timer(key)
            self._timers[key] = loop.call_at(due, self.add, key, rank, context=_NO_CONTEXT)

    def retry(self, key: str, at_least: float = 0.0) -> float:
        """Queue a key again after a failure, with exponential back-off and jitter; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(FIRST_RETRY_SECONDS * 2 ** min(failures, 30), LONGEST_RETRY_SECONDS)
        delay: float = max(at_least, longest * random.uniform(0.5, 1))  # noqa: S311 -- jitter is no secret
        self._observer.retried()
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """Reset the back-off of a key after a success."""
        self._failures.pop(key, None)

    def drop(self, key: str) -> None:
        """Remove a deleted key and its timer."""
        self.forget(key)
        self._cancel_timer(key)

    @property
    def depth(self) -> int:
        """Number of queued keys."""
        return len(self._waiting)

    def longest_work(self) -> float:
        """Longest time in seconds that a worker has been at its current key."""
        return max((monotonic() - since for since in self._working.values()), default=0.0)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[str]:
        """Wait for a key, which is processed inside the block."""
        key = await self._first()
        wait, started = self._waiting.pop(key), monotonic()
        self._working[key] = started
        self._observer.taken(self.depth, started - wait.since)
        try:
            yield key
        finally:
            del self._working[key]
            self._observer.done(monotonic() - started)
            if key in self._waiting:
                self._line_up(key)

    async def _first(self) -> str:
        """Pop the first key. One whose priority was raised is queued twice, and skipped once."""
        while True:
            _, _, key = await self._line.get()
            if key in self._waiting and key not in self._working:
                return key

    def _line_up(self, key: str) -> None:
        wait = self._waiting[key]
        self._line.put_nowait((wait.since + _HANDICAP[wait.rank], next(self._number), key))

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
