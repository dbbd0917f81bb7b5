"""Which FineTuneJob waits for which: `finetunejob://name` in a spec names another one of the same namespace."""

from finetune_api.addresses import awaited_names
from finetune_operator.records import TuneRecord

Place = tuple[str, str]
"""Namespace and name."""


class Kinship:
    """FineTuneJobs by name, and those that wait for a name, whether or not there is such a job."""

    def __init__(self) -> None:
        self._uids: dict[Place, str] = {}
        self._waiting: dict[Place, dict[str, None]] = {}
        self._awaited: dict[str, tuple[Place, ...]] = {}

    def put(self, tune: TuneRecord) -> None:
        """Take a FineTuneJob as it is now."""
        self._uids[tune.namespace, tune.name] = tune.uid
        awaited = tuple((tune.namespace, name) for name in awaited_parents(tune))
        if awaited == self._awaited.get(tune.uid, ()):
            return
        self._forget(tune.uid)
        if awaited:
            self._awaited[tune.uid] = awaited
        for place in awaited:
            self._waiting.setdefault(place, {})[tune.uid] = None

    def remove(self, tune: TuneRecord) -> None:
        """Take it that a FineTuneJob is gone; another one may have its name by now."""
        place = (tune.namespace, tune.name)
        if self._uids.get(place) == tune.uid:
            del self._uids[place]
        self._forget(tune.uid)

    def awaited(self, uid: str) -> list[str]:
        """Return the UIDs of those that one waits for, as far as they are there, in the order of its spec."""
        found = (self._uids.get(place) for place in self._awaited.get(uid, ()))
        return [other for other in found if other is not None]

    def waiting_for(self, tune: TuneRecord) -> list[str]:
        """Return the UIDs of those that wait for it."""
        return list(self._waiting.get((tune.namespace, tune.name), ()))

    def circle(self, uid: str) -> list[str]:
        """Return the names on a way from what it waits for back to itself; empty where there is none."""
        way: dict[str, list[str]] = {uid: []}
        line = [uid]
        for waiting in line:
            for place in self._awaited.get(waiting, ()):
                found, names = self._uids.get(place), [*way[waiting], place[1]]
                if found == uid:
                    return names
                if found is not None and found not in way:
                    way[found] = names
                    line.append(found)
        return []

    def _forget(self, uid: str) -> None:
        for place in self._awaited.pop(uid, ()):
            waiting = self._waiting[place]
            waiting.pop(uid, None)
            if not waiting:
                del self._waiting[place]


def awaited_parents(tune: TuneRecord) -> list[str]:
    """The jobs whose results it has not got yet; none for one that has ended, or is being deleted."""
    if "completionTime" in tune.status or tune.deleting:
        return []
    parents = tune.status.get("parents")
    held = {parent.get("name") for parent in parents} if isinstance(parents, list) else ()
    return awaited_names(tune.spec, held)
