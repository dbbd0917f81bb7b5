"""Status size limit of 16 KiB: what the report contains too is dropped first."""

from collections.abc import Callable

from finetune_api.parent import Parent
from finetune_api.status import Status
from finetune_operator.lifecycle.context import TERMINAL
from finetune_operator.lifecycle.messages import tidy

STATUS_BYTES = 16 * 1024
_MARGIN = 512


def bounded(status: Status) -> Status:
    """The status reduced to the limit."""
    for shorten in (_same, *_LEAST_IMPORTANT_FIRST):
        status = shorten(status)
        if size(status) <= STATUS_BYTES - _MARGIN:
            break
    return status


def size(status: Status) -> int:
    """Bytes of the status as JSON."""
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())


def _same(status: Status) -> Status:
    return status


def _figures(keep: Callable[[str], bool]) -> Callable[[Status], Status]:
    def shorten(status: Status) -> Status:
        if status.evaluation is None:
            return status
        return status.model_copy(update={"evaluation": status.evaluation.only(keep)})

    return shorten


def _newest(name: str, count: int) -> Callable[[Status], Status]:
    def shorten(status: Status) -> Status:
        kept = getattr(status, name)[-count:] if count else []
        return status.model_copy(update={name: kept})

    return shorten


def _gates_missed(status: Status) -> Status:
    if status.evaluation is None:
        return status
    gates = [gate for gate in status.evaluation.gates if not gate.passed][:4]
    return status.model_copy(update={"evaluation": status.evaluation.model_copy(update={"gates": gates})})


def _texts(limit: int) -> Callable[[Status], Status]:
    def shorten(status: Status) -> Status:
        conditions = [c.model_copy(update={"message": tidy(c.message, limit)}) for c in status.conditions]
        failure = status.failure
        if failure is not None:
            texts = {"message": tidy(failure.message, limit), "hint": tidy(failure.hint, limit)}
            failure = failure.model_copy(update=texts)
        return status.model_copy(update={"conditions": conditions, "failure": failure})

    return shorten


def _without_evaluation(status: Status) -> Status:
    return status.model_copy(update={"evaluation": None})


def _only_the_model(status: Status) -> Status:
    """Drop the URIs of report and predictions, which are beside the model."""
    if status.artifacts is None:
        return status
    return status.model_copy(
        update={"artifacts": status.artifacts.model_copy(update={"report": "", "predictions": ""})}
    )


def _names_of_parents(status: Status) -> Status:
    """Reduce results of dependencies to name, UID and digest once the job has ended; before, they are needed."""
    if status.phase not in TERMINAL:
        return status
    few = [Parent(name=parent.name, uid=parent.uid, output="", digest=parent.digest) for parent in status.parents]
    return status.model_copy(update={"parents": few})


_LEAST_IMPORTANT_FIRST: tuple[Callable[[Status], Status], ...] = (
    _figures(lambda name: "." not in name),
    _newest("checkpoints", 4),
    _newest("attempts", 8),
    _figures(lambda name: len(name) <= 40),
    _figures(lambda _: False),
    _newest("checkpoints", 1),
    _texts(160),
    _gates_missed,
    _newest("attempts", 3),
    _newest("checkpoints", 0),
    _without_evaluation,
    _only_the_model,
    _texts(60),
    _names_of_parents,
    _newest("attempts", 1),
)
