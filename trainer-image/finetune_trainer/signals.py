"""Signals that ask a run to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_STOPPING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like the keyboard's interrupt: the run ends in order and says so.

    What is ignored already stays so (`nohup`).
    """

    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    watched = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """From now on end undisturbed: there is nothing left to stop."""
    for number in (*_STOPPING, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
