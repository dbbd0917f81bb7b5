"""Concurrency limit of deferrable status updates, with a FIFO queue of unique keys."""

from collections.abc import Callable


class StatusLimiter:
    """Admits `at_once` keys; when one finishes, the next queued one is called. For one event loop."""

    def __init__(self, at_once: int, call: Callable[[str], None]) -> None:
        self._at_once = at_once
        self._call = call
        self._having: set[str] = set()
        self._line: dict[str, None] = {}

    def take(self, key: str) -> bool:
        """Whether the key is admitted. If not, it is queued, and called once it is."""
        if key in self._having:
            return True
        if len(self._having) < self._at_once:
            self._having.add(key)
            self._line.pop(key, None)
            return True
        self._line.setdefault(key)
        return False

    def give_back(self, key: str) -> None:
        """Release the key's admission if any; the next queued key is admitted and called."""
        if key not in self._having:
            return
        self._having.remove(key)
        if self._line:
            following = next(iter(self._line))
            del self._line[following]
            self._having.add(following)
            self._call(following)

    def leave(self, key: str) -> None:
        """Release the key's admission, or remove it from the queue."""
        self._line.pop(key, None)
        self.give_back(key)

    @property
    def waiting(self) -> int:
        """Number of queued keys."""
        return len(self._line)
