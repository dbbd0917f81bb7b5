"""Defaults by task and method."""

from typing import Any

import pytest

from finetune_api.job import Spec
from finetune_api.resolved import DEFAULTS, resolve
from finetune_api.tasks import BUILT, MethodType, Task

COMBINATIONS = [(task, method) for task, methods in BUILT.items() for method in sorted(methods)]
TRAINED = [(task, method) for task, method in COMBINATIONS if method is not MethodType.MERGE]
MERGE = {"merge": {"sources": [{"uri": "file://a"}, {"uri": "file://b"}]}}


def spec_of(task: Task, method: MethodType, **training: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": task,
            "model": {"uri": "hf://a/b"},
            "data": {"train": [{"uri": "file://x.csv"}], "maxLength": training.pop("maxLength", None)},
            "method": {"type": method, **(MERGE if method is MethodType.MERGE else {})},
            "training": training,
            "output": {"uri": "file://out"},
        }
    )


def test_what_is_built_has_defaults_and_nothing_else_has() -> None:
    assert {(task, method) for task, methods in DEFAULTS.items() for method in methods} == set(COMBINATIONS)


@pytest.mark.parametrize(("task", "method"), COMBINATIONS)
def test_gaps_are_filled(task: Task, method: MethodType) -> None:
    assert resolve(spec_of(task, method)) == DEFAULTS[task][method]


@pytest.mark.parametrize(("task", "method"), COMBINATIONS)
def test_what_is_given_stays(task: Task, method: MethodType) -> None:
    spec = spec_of(task, method, epochs=0.5, learningRate=0.3, batchSize=7, maxLength=9)
    given = {"epochs": 0.5, "learning_rate": 0.3, "batch_size": 7, "max_length": 9}
    assert resolve(spec) == DEFAULTS[task][method].model_copy(update=given)


def test_defaults_are_within_the_bounds_of_the_spec() -> None:
    for task, method in TRAINED:
        resolved = DEFAULTS[task][method]
        spec_of(task, method, epochs=resolved.epochs, learningRate=resolved.learning_rate,
                batchSize=resolved.batch_size, maxLength=resolved.max_length)  # fmt: skip


def test_what_is_not_built_has_no_defaults() -> None:
    for task, method in {(task, method) for task in Task for method in MethodType} - set(COMBINATIONS):
        with pytest.raises(KeyError):
            resolve(spec_of(task, method))
