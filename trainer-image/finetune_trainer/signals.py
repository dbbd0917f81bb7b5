"""Signals that ask a run to stop, or to save a checkpoint."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_RESERVE_SECONDS = 15.0
"""Kept back at the end of the time that a stop may take, to end in order; half of it where that is less."""


class _Asked:
    """What signals have asked for. Only the main thread's handlers write it."""

    def __init__(self) -> None:
        self.stops = 0
        self.patient = False
        self.checkpoints = 0
        self.since: float | None = None
        self.grace: float | None = None


_asked = _Asked()


@contextmanager
def stop_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like the keyboard's interrupt: the run ends in order and says so.

    What is ignored already stays so (`nohup`).
    """

    def stop(_number: int, _frame: object) -> None:
        _asked.stops += 1
        _asked.since = _asked.since or time.monotonic()
        if not (_asked.patient and _asked.stops == 1):
            raise KeyboardInterrupt

    _asked.stops, _asked.since, _asked.grace = 0, None, None
    watched = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        _asked.stops, _asked.since, _asked.grace = 0, None, None
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def finishing_steps() -> Iterator[None]:
    """Let the first signal that asks to stop wait for `stop_asked` or `check_stop` inside the block.

    A second one raises `KeyboardInterrupt` wherever the run is.
    """
    _asked.patient = True
    try:
        yield
    finally:
        _asked.patient = False
    check_stop()


def stop_asked() -> bool:
    """Whether a signal has asked to stop."""
    return _asked.stops > 0


def stop_forced() -> bool:
    """Whether it was asked for again, so that there is no time to save anything."""
    return _asked.stops > 1


def stop_within(seconds: float) -> None:
    """Whoever asks this process to stop will kill it so many seconds later; for what `stop_signals` watches now."""
    _asked.grace = seconds


def seconds_to_save() -> float | None:
    """Seconds that saving may still take, 0 at the least; None where no stop is asked for, or it may take any time."""
    if _asked.since is None or _asked.grace is None:
        return None
    allowed = _asked.grace - min(_RESERVE_SECONDS, _asked.grace / 2)
    return max(0.0, _asked.since + allowed - time.monotonic())


def no_time_left() -> bool:
    """Whether a stop is asked for, and the time that saving may take is over."""
    return seconds_to_save() == 0


def check_stop() -> None:
    """Raise `KeyboardInterrupt` where a signal has asked to stop.

    What a signal's handler raises is lost when it comes during a destructor or a callback of a library, which can't
    raise. So long loops ask here at each turn.
    """
    if stop_asked():
        raise KeyboardInterrupt


def ignore_stop_signals() -> None:
    """From now on end undisturbed: there is nothing left to stop."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def checkpoint_signal() -> Iterator[None]:
    """Count SIGUSR1 inside the block: each asks for a checkpoint."""

    def ask(_number: int, _frame: object) -> None:
        _asked.checkpoints += 1

    previous = signal.signal(signal.SIGUSR1, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def checkpoints_asked() -> str:
    """A text that changes with each SIGUSR1; empty before the first."""
    return f"SIGUSR1 {_asked.checkpoints}" if _asked.checkpoints else ""
