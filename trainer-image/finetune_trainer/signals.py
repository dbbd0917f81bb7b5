"""`StopToken` for stop requests (SIGTERM, SIGHUP, SIGINT), and SIGUSR1 as a checkpoint request."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_RESERVE_SECONDS = 15.0
"""Seconds of the grace period reserved for shutdown; half of the period where that is less."""


def _nothing() -> None:
    pass


class StopToken:
    """Stop request of one run, and its grace period.

    Signal handlers of the main thread call `request`; long loops ask for `requested` or call `check`.
    A token that nobody requests anything of never stops a run.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._finishes_steps = False
        self._since: float | None = None
        self._grace_seconds: float | None = None
        self.turned: Callable[[], None] = _nothing
        """Called at each turn of a long loop."""

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requests > 0

    @property
    def forced(self) -> bool:
        """Whether it was requested twice, which leaves no time to save."""
        return self._requests > 1

    def request(self) -> None:
        """Request a stop. Raises `KeyboardInterrupt`, but for the first request inside `finishing_steps`."""
        self._requests += 1
        self._since = self._since or time.monotonic()
        if not (self._finishes_steps and self._requests == 1):
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise `KeyboardInterrupt` where a stop was requested.

        What a signal's handler raises is lost when it comes during a destructor or a callback of a library, which can't
        raise. So long loops call this at each turn.
        """
        self.turned()
        if self.requested:
            raise KeyboardInterrupt

    @contextmanager
    def finishing_steps(self) -> Iterator[None]:
        """Defer the first request inside the block to `requested` or `check`; a missed one is raised after it.

        A second one raises `KeyboardInterrupt` wherever the run is.
        """
        self._finishes_steps = True
        try:
            yield
        finally:
            self._finishes_steps = False
        self.check()

    def limit(self, grace_seconds: float) -> None:
        """Set the grace period: the process is killed `grace_seconds` after the first request."""
        self._grace_seconds = grace_seconds

    @property
    def seconds_to_save(self) -> float | None:
        """Seconds left for saving, at least 0; None without a request or without a limit."""
        if self._since is None or self._grace_seconds is None:
            return None
        allowed = self._grace_seconds - min(_RESERVE_SECONDS, self._grace_seconds / 2)
        return max(0.0, self._since + allowed - time.monotonic())

    def out_of_time(self) -> bool:
        """Whether a stop is requested and the time for saving has passed."""
        return self.seconds_to_save == 0


@contextmanager
def stop_signals() -> Iterator[StopToken]:
    """Inside the block, treat SIGTERM and SIGHUP like SIGINT: each is a request of the token.

    What is ignored already stays so (`nohup`).
    """
    token = StopToken()

    def stop(_number: int, _frame: object) -> None:
        token.request()

    watched = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in watched}
    try:
        yield token
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """Ignore stop signals from now on: the run has ended."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def checkpoint_signal() -> Iterator[Callable[[], str]]:
    """Inside the block, count SIGUSR1 as requests for a checkpoint.

    Yields a function of a text that changes with each request; it is empty before the first.
    """
    requests = 0

    def ask(_number: int, _frame: object) -> None:
        nonlocal requests
        requests += 1

    previous = signal.signal(signal.SIGUSR1, ask)
    try:
        yield lambda: f"SIGUSR1 {requests}" if requests else ""
    finally:
        signal.signal(signal.SIGUSR1, previous)
