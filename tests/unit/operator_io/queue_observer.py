"""An observer of work queues that remembers what it is told."""

from collections import Counter


class Observer:
    """Counts, and checks that depths and times can be true."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def added(self, depth: int) -> None:
        assert depth >= 1
        self.seen["added"] += 1

    def taken(self, depth: int, waited: float) -> None:
        assert depth >= 0
        assert waited >= 0
        self.seen["taken"] += 1

    def done(self, worked: float) -> None:
        assert worked >= 0
        self.seen["done"] += 1

    def retried(self) -> None:
        self.seen["retried"] += 1
