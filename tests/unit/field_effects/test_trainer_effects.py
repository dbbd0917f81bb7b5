"""Every field of the trainer changes what tests/data/field_effects.yaml says, in each task in which it counts."""

import copy
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_models import tiny_models
from effect_jobs import Json, laid_over, write_rows
from effect_table import TABLE, job_of, problems_of, tasks_of
from trainer_stages import STAGES, merged, qlora

from finetune_api.failures import JobFailure
from finetune_api.tasks import Task

MODELS = {Task.MASKED_LM: "masked", Task.SEQ2SEQ: "t5", Task.SEQUENCE_CLASSIFICATION: "bert",
          Task.TOKEN_CLASSIFICATION: "bert"}  # fmt: skip
READING = ("rows", "tokens", "asked")
"""Stages that take no training: all their tasks are tried each time."""
QUICK = (Task.SEQUENCE_CLASSIFICATION, Task.CAUSAL_LM)
"""Tasks whose trainings take no more than a second."""
FEW = {"data": {"maxRows": 12, "split": {"validation": 0.1, "test": 0.1}}}
"""Laid over jobs that train: a few steps are enough."""
Made = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def _imports_apart() -> Iterator[None]:
    """Each training collects garbage, which takes longer than its steps where it goes through torch's modules again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Made:
    """A function from a stage, a task and settings to what the stage makes of them; the same is made once."""
    model_named = tiny_models(tmp_path_factory.mktemp("models"), tiny_model)
    folders: dict[Task, Path] = {}
    known: dict[str, Any] = {}

    def make(stage: str, task: Task, *settings: Json, model: str = "") -> Any:
        if task not in folders:
            folders[task] = tmp_path_factory.mktemp(task.value)
            write_rows(folders[task], task)
        spec = job_of(
            task,
            model_named(model or MODELS.get(task, "stories")),
            folders[task],
            *([] if stage in READING else [FEW]),
            *settings,
        )
        key = f"{STAGES[stage].__name__} {spec}"
        if key not in known:
            known[key] = _outcome(STAGES[stage], spec, folders[task])
        return known[key]

    return make


def _outcome(stage: Callable[[Json, Path], Any], spec: Json, folder: Path) -> Any:
    """What the stage makes, or the code of its failure; a spec that is refused is none of its."""
    refused = problems_of(spec)
    assert not refused, refused
    try:
        return repr(stage(spec, folder))
    except JobFailure as failure:
        return failure.code


def cases() -> Iterator[Any]:
    """Each row of a stage of the trainer with its tasks: all where it is read, and some of those where it trains."""
    for number, row in enumerate(TABLE["effects"]):
        stage = row.get("changes")
        if stage not in STAGES:
            continue
        tasks = tasks_of(row)
        for at, task in enumerate(tasks if stage in READING else tried(tasks, number)):
            quick = stage in READING or (stage not in ("figures", "files") and at == 0 and task in QUICK)
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(row, task, id=f"{row['field']}-{number}-{task}", marks=marks)


def tried(tasks: list[Task], number: int) -> list[Task]:
    """Tasks in which a row that trains is tried: the first one, and of more than two others each second one.

    Which ones changes from row to row, so that each task meets half of all fields, and each field half of its tasks.
    """
    first, *others = tasks
    return [first, *(others if len(others) <= 2 else others[number % 2 :: 2])]


@pytest.mark.parametrize(("row", "task"), list(cases()))
def test_the_field_changes_what_the_table_says(row: Json, task: Task, made: Made) -> None:
    base, model = row.get("base", {}), row.get("model", "")
    before = made(row["changes"], task, base, model=model)
    after = made(row["changes"], task, base, row["set"], model=model)
    assert (before if "was" in row else "") == row.get("was", "")
    assert (after if "fails" in row else "") == row.get("fails", "")
    assert before != after, f"{row['field']} of {task} is accepted, and {row['changes']} are the same"
    assert "was" in row or len(before) > 40, before
    assert "fails" in row or len(after) > 40, after


@pytest.mark.parametrize("task", [pytest.param(task, marks=pytest.mark.slow) for task in Task])
def test_without_a_change_all_is_the_same(task: Task, made: Made) -> None:
    for stage in ("rows", "tokens", "model", "figures"):
        again = {"output": {"uri": "file://{folder}/again"}}
        assert made(stage, task) == made(stage, task, again), stage


BLOCKS = [pytest.param(row, id=row["field"]) for row in TABLE["effects"] if row.get("changes") in ("merged", "qlora")]


@pytest.mark.parametrize("row", BLOCKS)
def test_a_block_of_a_method_counts(row: Json, tiny_classifier: Callable[..., Any]) -> None:
    base = row.get("base", {})
    if row["changes"] == "merged":
        assert merged(base) != merged(laid_over(base, row["set"]))
        return
    files, _, model = tiny_classifier("bert")
    before, again = (qlora(base, files, copy.deepcopy(model)) for _ in range(2))
    assert before == again
    assert before != qlora(laid_over(base, row["set"]), files, model)
