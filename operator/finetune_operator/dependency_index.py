"""Index of dependencies between FineTuneJobs: `finetunejob://name` in a spec."""

from finetune_api.addresses import awaited_names
from finetune_operator.records import FineTuneJobRecord

NamespacedName = tuple[str, str]
"""Namespace and name."""


class DependencyIndex:
    """FineTuneJobs by name, and dependents by name, whether or not that job exists."""

    def __init__(self) -> None:
        self._uids: dict[NamespacedName, str] = {}
        self._waiting: dict[NamespacedName, dict[str, None]] = {}
        self._awaited: dict[str, tuple[NamespacedName, ...]] = {}

    def put(self, finetune_job: FineTuneJobRecord) -> None:
        """Add or update a FineTuneJob."""
        self._uids[finetune_job.namespace, finetune_job.name] = finetune_job.uid
        awaited = tuple((finetune_job.namespace, name) for name in awaited_parents(finetune_job))
        if awaited == self._awaited.get(finetune_job.uid, ()):
            return
        self._forget(finetune_job.uid)
        if awaited:
            self._awaited[finetune_job.uid] = awaited
        for named in awaited:
            self._waiting.setdefault(named, {})[finetune_job.uid] = None

    def remove(self, finetune_job: FineTuneJobRecord) -> None:
        """Remove a FineTuneJob; another one may have its name already."""
        named = (finetune_job.namespace, finetune_job.name)
        if self._uids.get(named) == finetune_job.uid:
            del self._uids[named]
        self._forget(finetune_job.uid)

    def awaited(self, uid: str) -> list[str]:
        """UIDs of existing dependencies of a job, in the order of its spec."""
        found = (self._uids.get(named) for named in self._awaited.get(uid, ()))
        return [other for other in found if other is not None]

    def waiting_for(self, finetune_job: FineTuneJobRecord) -> list[str]:
        """UIDs of dependents of a job."""
        return list(self._waiting.get((finetune_job.namespace, finetune_job.name), ()))

    def cycle(self, uid: str) -> list[str]:
        """Names on a dependency cycle through the job; empty without one."""
        way: dict[str, list[str]] = {uid: []}
        line = [uid]
        for waiting in line:
            for named in self._awaited.get(waiting, ()):
                found, names = self._uids.get(named), [*way[waiting], named[1]]
                if found == uid:
                    return names
                if found is not None and found not in way:
                    way[found] = names
                    line.append(found)
        return []

    def _forget(self, uid: str) -> None:
        for named in self._awaited.pop(uid, ()):
            waiting = self._waiting[named]
            waiting.pop(uid, None)
            if not waiting:
                del self._waiting[named]


def awaited_parents(finetune_job: FineTuneJobRecord) -> list[str]:
    """Names of dependencies without a pinned result; empty for ended jobs and those being deleted."""
    if "completionTime" in finetune_job.status or finetune_job.deleting:
        return []
    parents = finetune_job.status.get("parents")
    held = {parent.get("name") for parent in parents} if isinstance(parents, list) else ()
    return awaited_names(finetune_job.spec, held)
