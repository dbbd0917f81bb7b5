"""Limits on concurrent polls, so that hanging trainers delay only those of their own namespace."""

from collections import OrderedDict
from collections.abc import Callable


class PollConcurrency:
    """Admits polls within limits per namespace, with fewer to trainers that have not answered before.

    What may not begin is parked, and handed out when another one of them ends: the namespaces in turn, each in order.
    """

    def __init__(self, at_once: int, wanted: Callable[[str], bool]) -> None:
        """Take the total limit `at_once`; `wanted` tells whether a parked key is still of interest."""
        self._of_a_namespace = max(1, at_once // 2)
        self._unproven = max(1, at_once // 2)
        self._unproven_of_a_namespace = max(1, at_once // 8)
        self._wanted = wanted
        self._busy: dict[tuple[str, bool], int] = {}
        self._parked: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def enter(self, key: str, namespace: str, *, proven: bool) -> bool:
        """Whether a poll may start; if not, the key is parked."""
        if self._is_full(namespace, proven=proven):
            self._parked.setdefault(namespace, OrderedDict())[key] = None
            return False
        self._busy[namespace, proven] = self._busy.get((namespace, proven), 0) + 1
        return True

    def leave(self, namespace: str, *, proven: bool) -> list[str]:
        """End a poll; returns keys to retry: one of its namespace, and one of the next."""
        left = self._busy[namespace, proven] - 1
        if left:
            self._busy[namespace, proven] = left
        else:
            del self._busy[namespace, proven]
        others = next((each for each in self._parked if each != namespace), "")
        return [key for each in (namespace, others) for key in self._next(each)]

    def _is_full(self, namespace: str, *, proven: bool) -> bool:
        unproven = self._busy.get((namespace, False), 0)
        if self._busy.get((namespace, True), 0) + unproven >= self._of_a_namespace:
            return True
        all_unproven = sum(count for (_, answered), count in self._busy.items() if not answered)
        return not proven and (unproven >= self._unproven_of_a_namespace or all_unproven >= self._unproven)

    def _next(self, namespace: str) -> list[str]:
        parked = self._parked.pop(namespace, OrderedDict())
        while parked:
            key, _ = parked.popitem(last=False)
            if parked:
                self._parked[namespace] = parked  # last in turn now
            if self._wanted(key):
                return [key]
        return []
