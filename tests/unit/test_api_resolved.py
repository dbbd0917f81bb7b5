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


@pytest.mark.parametrize(
    ("task", "rows", "epochs"),
    [
        (Task.TOKEN_CLASSIFICATION, 10_000, 6),
        (Task.TOKEN_CLASSIFICATION, 534, 6),  # 34 steps an epoch, 204 in 6
        (Task.TOKEN_CLASSIFICATION, 300, 11),
        (Task.TOKEN_CLASSIFICATION, 160, 20),
        (Task.TOKEN_CLASSIFICATION, 1, 20),
        (Task.SEQUENCE_CLASSIFICATION, 300, 11),
        (Task.SEQ2SEQ, 300, 11),
        (Task.CAUSAL_LM, 10, 3),
        (Task.PREFERENCE, 10, 1),
    ],
)
def test_few_rows_make_more_epochs_where_steps_matter(task: Task, rows: int, epochs: float) -> None:
    assert resolve(spec_of(task, MethodType.FULL), rows).epochs == epochs
    assert resolve(spec_of(task, MethodType.FULL, epochs=2), rows).epochs == 2, "what is given stays"
    assert resolve(spec_of(task, MethodType.FULL)).epochs == DEFAULTS[task][MethodType.FULL].epochs


def test_what_has_many_epochs_or_trains_nothing_keeps_them() -> None:
    task = Task.SEQUENCE_CLASSIFICATION
    assert resolve(spec_of(task, MethodType.FEATURE_EXTRACTION), 5).epochs == 40
    assert resolve(spec_of(task, MethodType.MERGE), 5).epochs == 0
    assert resolve(spec_of(task, MethodType.FULL, batchSize=1), 100).epochs == 4


def test_defaults_are_within_the_bounds_of_the_spec() -> None:
    for task, method in TRAINED:
        resolved = DEFAULTS[task][method]
        spec_of(task, method, epochs=resolved.epochs, learningRate=resolved.learning_rate,
                batchSize=resolved.batch_size, maxLength=resolved.max_length)  # fmt: skip


def test_what_is_not_built_has_no_defaults() -> None:
    for task, method in {(task, method) for task in Task for method in MethodType} - set(COMBINATIONS):
        with pytest.raises(KeyError):
            resolve(spec_of(task, method))
