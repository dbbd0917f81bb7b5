"""Tells on the terminal what happens and how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print the step's name with its seconds once it is done; nothing when it fails: the error says more."""
    start = time.monotonic()
    yield
    tell(f"{time.monotonic() - start:6.1f} s  {name}")


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
