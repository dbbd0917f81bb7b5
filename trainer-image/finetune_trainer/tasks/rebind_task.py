"""A task applied to other rows: a group of them, or the retention set."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from finetune_api.evaluation import Gate
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.tasks.task import Task

AnyTask = TypeVar("AnyTask", bound=Task)


def rebind_task(task: AnyTask, data: Prepared, also: Iterable[str]) -> AnyTask:
    """The task on other rows, with the metrics `also`, such as those of one class, beside the usual."""
    return replace(task, data=data, spec=with_metrics(task.spec, also))


def with_metrics(spec: Spec, also: Iterable[str]) -> Spec:
    """The spec with gates on these metrics only."""
    gates = [Gate(metric=name, min=0) for name in dict.fromkeys(also)]
    return spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"gates": gates})})


def gate_metrics(spec: Spec, prefix: str) -> list[str]:
    """Names of gated metrics with this prefix, without it."""
    names = [gate.metric for gate in spec.evaluation.gates]
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
