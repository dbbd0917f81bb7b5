"""Retries of checkpoint uploads while the store does not answer."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from threading import Event
from typing import TypeVar

from finetune_api.failures import StorageUnavailable

T = TypeVar("T")
_LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Persistence:
    """Retry limits, on top of the retries of the store's client."""

    first_wait: float = 1
    """Seconds between the first try and the second; each wait is up to twice as long as the one before."""
    seconds: float = 300
    """After the first failure of an upload no further try is made after this time."""
    misses: int = 3
    """So many checkpoints in a row may be missed; the last of them ends the run."""
    lag_seconds: float = 30
    """Training that waits longer than this for an upload says so."""


class ClosedError(Exception):
    """The upload was cancelled; it is not retried."""


def persist(action: Callable[[], T], persistence: Persistence, closed: Event) -> T:
    """Retry `action` until it succeeds; raise the last `StorageUnavailable` once the limits are reached.

    Waits between tries double, with jitter: many jobs may have lost the same store at the same moment.
    Raises `ClosedError` once `closed` is set, and any other failure at once.
    """
    wait, deadline = persistence.first_wait, inf
    while not closed.is_set():
        try:
            return action()
        except StorageUnavailable:
            now = time.monotonic()
            deadline = min(deadline, now + persistence.seconds)
            pause = wait * random.uniform(0.5, 1)  # noqa: S311 -- no secret depends on it
            if now + pause > deadline:
                raise
        closed.wait(pause)
        wait = min(2 * wait, _LONGEST_WAIT)
    raise ClosedError
