"""Signals that ask a run to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_asked = threading.Event()


@contextmanager
def stop_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like the keyboard's interrupt: the run ends in order and says so.

    What is ignored already stays so (`nohup`).
    """

    def stop(_number: int, _frame: object) -> NoReturn:
        _asked.set()
        raise KeyboardInterrupt

    _asked.clear()
    watched = [number for number in _STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        _asked.clear()
        for number, handler in previous.items():
            signal.signal(number, handler)


def check_stop() -> None:
    """Raise `KeyboardInterrupt` where a signal has asked to stop.

    What a signal's handler raises is lost when it comes during a destructor or a callback of a library, which can't
    raise. So long loops ask here at each turn.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


def ignore_stop_signals() -> None:
    """From now on end undisturbed: there is nothing left to stop."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
