"""Who may do next what can wait: a few keys at a time, the others in line, each once."""

from collections.abc import Callable


class StatusLimiter:
    """Lets `at_once` keys have a turn; when one ends, the next in line is called. Used from one event loop."""

    def __init__(self, at_once: int, call: Callable[[str], None]) -> None:
        self._at_once = at_once
        self._call = call
        self._having: set[str] = set()
        self._line: dict[str, None] = {}

    def take(self, key: str) -> bool:
        """Whether the key has a turn. If not, it is in line, and will be called when it has one."""
        if key in self._having:
            return True
        if len(self._having) < self._at_once:
            self._having.add(key)
            self._line.pop(key, None)
            return True
        self._line.setdefault(key)
        return False

    def give_back(self, key: str) -> None:
        """End the turn that the key may have; the next in line has it, and is called."""
        if key not in self._having:
            return
        self._having.remove(key)
        if self._line:
            following = next(iter(self._line))
            del self._line[following]
            self._having.add(following)
            self._call(following)

    def leave(self, key: str) -> None:
        """Give back the turn, or leave the line: the key needs none any more."""
        self._line.pop(key, None)
        self.give_back(key)

    @property
    def waiting(self) -> int:
        """Keys in line."""
        return len(self._line)
