"""A pace for what is asked now and then, so that many jobs that wait together don't ask all at once."""

from collections.abc import Callable
from time import monotonic


class RateLimiter:
    """Lets one go every so many seconds. Used from one event loop."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = float("-inf")

    def take(self) -> bool:
        """Whether it may be done now; the next one may a while later."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
