"""Which FineTuneJob waits for which: `model.uri: finetunejob://name` names another one of the same namespace."""

from finetune_operator.parsed import parent_name
from finetune_operator.records import TuneRecord

Place = tuple[str, str]
"""Namespace and name."""


class Kinship:
    """FineTuneJobs by name, and those that wait for a name, whether or not there is such a job."""

    def __init__(self) -> None:
        self._uids: dict[Place, str] = {}
        self._waiting: dict[Place, dict[str, None]] = {}
        self._awaited: dict[str, Place] = {}

    def put(self, tune: TuneRecord) -> None:
        """Take a FineTuneJob as it is now."""
        self._uids[tune.namespace, tune.name] = tune.uid
        awaited = (tune.namespace, name) if (name := awaited_name(tune)) else None
        if awaited != self._awaited.get(tune.uid):
            self._forget(tune.uid)
        if awaited is not None:
            self._awaited[tune.uid] = awaited
            self._waiting.setdefault(awaited, {})[tune.uid] = None

    def remove(self, tune: TuneRecord) -> None:
        """Take it that a FineTuneJob is gone; another one may have its name by now."""
        place = (tune.namespace, tune.name)
        if self._uids.get(place) == tune.uid:
            del self._uids[place]
        self._forget(tune.uid)

    def uid(self, namespace: str, name: str) -> str:
        """Return the UID of the FineTuneJob with that name; empty where there is none."""
        return self._uids.get((namespace, name), "")

    def waiting_for(self, tune: TuneRecord) -> list[str]:
        """Return the UIDs of those that wait for it."""
        return list(self._waiting.get((tune.namespace, tune.name), ()))

    def _forget(self, uid: str) -> None:
        place = self._awaited.pop(uid, None)
        if place is None:
            return
        waiting = self._waiting[place]
        waiting.pop(uid, None)
        if not waiting:
            del self._waiting[place]


def awaited_name(tune: TuneRecord) -> str:
    """The job that it still waits for; empty where it has begun, has ended, or waits for none."""
    if tune.status.get("parent") or tune.status.get("completionTime"):
        return ""
    return parent_name(tune)
