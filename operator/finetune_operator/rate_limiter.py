"""Rate limiter of lookups."""

from collections.abc import Callable
from time import monotonic


class RateLimiter:
    """Admits one call per interval. For one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = float("-inf")

    def take(self) -> bool:
        """Whether a call is admitted now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
