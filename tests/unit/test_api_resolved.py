"""Defaults by task and method."""

from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.method import FeatureExtraction, Solver
from finetune_api.resolved import DEFAULTS, PENALTIES, resolve, settle_method
from finetune_api.spec import Spec
from finetune_api.tasks import BUILT, MethodType, Task

COMBINATIONS = [(task, method) for task, methods in BUILT.items() for method in sorted(methods)]
TRAINED = [(task, method) for task, method in COMBINATIONS if method is not MethodType.MERGE]
MERGE = {"merge": {"sources": [{"uri": "file://a"}, {"uri": "file://b"}]}}


def spec_of(task: Task, method: MethodType, block: dict[str, Any] | None = None, **training: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": task,
            "model": {"uri": "hf://a/b"},
            "data": {"train": [{"uri": "file://x.csv"}], "maxLength": training.pop("maxLength", None)},
            "method": {"type": method, **(MERGE if method is MethodType.MERGE else {}), **(block or {})},
            "training": training,
            "output": {"uri": "file://out"},
        }
    )


def test_what_is_built_has_defaults_and_nothing_else_has() -> None:
    assert {(task, method) for task, methods in DEFAULTS.items() for method in methods} == set(COMBINATIONS)


@pytest.mark.parametrize(("task", "method"), COMBINATIONS)
def test_gaps_are_filled(task: Task, method: MethodType) -> None:
    in_steps = {"block": {"featureExtraction": {"solver": "AdamW"}}} if method is MethodType.FEATURE_EXTRACTION else {}
    assert resolve(spec_of(task, method, **in_steps)) == DEFAULTS[task][method]


HEAD = MethodType.FEATURE_EXTRACTION


@pytest.mark.parametrize("task", [task for task, method in COMBINATIONS if method is HEAD])
def test_a_head_is_solved_unless_the_job_says_how_to_train(task: Task) -> None:
    solved = resolve(spec_of(task, HEAD), rows=5)
    assert (solved.penalties, solved.epochs, solved.learning_rate) == (len(PENALTIES), len(PENALTIES), 0)
    assert settle_method(spec_of(task, HEAD)).feature_extraction == FeatureExtraction(solver=Solver.LBFGS)
    for said in (
        {"epochs": 3},
        {"learningRate": 1e-3},
        {"batchSize": 8},
        {"lrSchedulerType": "Cosine"},
        {"maxSteps": 9},
    ):
        assert resolve(spec_of(task, HEAD, **said)).penalties == 0
    assert resolve(spec_of(task, HEAD, block={"featureExtraction": {"headHiddenSize": 8}})).penalties == 0


def test_a_head_that_is_solved_takes_no_steps() -> None:
    spec = spec_of(Task.SEQUENCE_CLASSIFICATION, HEAD, epochs=3, block={"featureExtraction": {"solver": "LBFGS"}})
    (problem,) = semantic_problems(spec)
    assert (problem.where, problem.hint) == ("spec.training.epochs", "remove it, or set solver: AdamW")


@pytest.mark.parametrize(("task", "method"), COMBINATIONS)
def test_dropout_of_adapters_is_left_out_where_outputs_are_compared(task: Task, method: MethodType) -> None:
    block = {MethodType.LORA: "lora", MethodType.QLORA: "qlora", MethodType.DORA: "dora"}.get(method)
    if block is None:
        return
    compares = task in {Task.PREFERENCE, Task.REWARD_MODEL, Task.POLICY_OPTIMIZATION}
    settled = getattr(settle_method(spec_of(task, method)), block)
    assert (settled.dropout if settled else None) == (0 if compares else None)
    asked = spec_of(task, method, block={block: {"dropout": 0.1}})
    assert getattr(settle_method(asked), block).dropout == 0.1


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
    in_steps = {"featureExtraction": {"solver": "AdamW"}}
    assert resolve(spec_of(task, MethodType.FEATURE_EXTRACTION, block=in_steps), 5).epochs == 40
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
