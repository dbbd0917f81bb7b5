"""Lets one process at a time do what two would do to each other's harm."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import progress
from caches import caches


@contextmanager
def turn(name: str, waiting: str, tell: Callable[[str], None] = progress.tell) -> Iterator[None]:
    """Wait until no other process is in a block of this name; the system ends a dead process's turn.

    Args:
        name: What the turn is about; the name of the lock's file.
        waiting: What to say when another process has the turn.
        tell: Says it.
    """
    caches().mkdir(parents=True, exist_ok=True)
    with (caches() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def alone() -> Iterator[None]:
    """Take the turn of those that change the cluster or its images."""
    with turn("bed", "Waiting for another process that changes the cluster or its images"):
        yield
