"""Lets one process at a time change the cluster and its images."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

import progress
from binaries import caches


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process is in such a block; the system ends a dead process's turn."""
    caches().mkdir(parents=True, exist_ok=True)
    with (caches() / "bed.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.tell("Waiting for another process that changes the cluster or its images")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
