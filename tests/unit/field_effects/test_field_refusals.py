"""Every field of a job has a row in tests/data/field_effects.yaml, and is refused where it does nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from effect_jobs import Json, laid_over
from effect_table import OPERATOR, PURE, ROOT, TABLE, job_of, leaves, problems_of, tasks_of
from pydantic.alias_generators import to_snake
from snapshots import spec as operator_spec

from finetune_api.tasks import Task

SOURCE, COLUMNS, OF_RETENTION = "spec.data.train[].", "spec.data.columns.", "spec.evaluation.retention."
"""Fields of other sources and of other columns are those of the same models."""
NOWHERE = Path("/nowhere")
"""Nothing is read: what is refused here is refused before."""


def rows_with(key: str) -> list[Any]:
    """Rows of the table that have a key."""
    rows = [(number, row) for number, row in enumerate(TABLE["effects"]) if key in row]
    return [pytest.param(row, id=f"{row['field']}-{number}") for number, row in rows]


def refusals() -> Iterator[Any]:
    """Each row with the tasks that have no use for its field, and the rows of what other settings rule out."""
    for number, row in enumerate(TABLE["effects"]):
        honoured = {*tasks_of(row), *map(Task, row.get("elsewhere", []))}
        tasks = [task for task in Task if task not in honoured]
        if tasks and row.get("changes") not in (None, *OPERATOR, *PURE) and not row.get("everywhere"):
            yield pytest.param(row, tasks, id=f"{row['field']}-{number}")
    for number, row in enumerate(TABLE["refused"]):
        yield pytest.param(row, tasks_of(row), id=f"{row['field']}-refused{number}")


@pytest.mark.parametrize("field", leaves())
def test_every_field_has_a_row(field: str) -> None:
    listed = {row["field"] for row in TABLE["effects"]}
    same = {field, *(field.replace(f"spec.data.{place}[].", SOURCE) for place in ("validation", "test"))}
    same.add(field.replace(f"{OF_RETENTION}data[].", SOURCE).replace(f"{OF_RETENTION}columns.", COLUMNS))
    assert listed & same, f"say in tests/data/field_effects.yaml what {field} changes, or where it is refused"


def test_every_row_is_about_a_field() -> None:
    assert {row["field"] for row in TABLE["effects"]} <= {*leaves()}
    assert TABLE["tasks"] == [task.value for task in Task]
    for row in TABLE["effects"]:
        assert len(row.keys() & {"changes", "proved_by", "needs_gpu", "refused"}) == 1, row


@pytest.mark.parametrize("row", rows_with("proved_by"))
def test_the_proof_is_there(row: Json) -> None:
    text, name = (ROOT / "tests" / row["proved_by"]).read_text("utf-8"), row["field"].rpartition(".")[2]
    assert name in text or to_snake(name) in text


@pytest.mark.parametrize("row", [one for one in rows_with("changes") if one.values[0]["changes"] in OPERATOR])
def test_the_operator_does_what_the_table_says(row: Json) -> None:
    makes, base = OPERATOR[row["changes"]], laid_over(operator_spec(), row.get("base", {}))
    changed = laid_over(base, row["set"])
    assert repr(makes(base)) != repr(makes(changed)), f"{row['field']} is accepted, and {row['changes']} are the same"


@pytest.mark.parametrize(("row", "tasks"), list(refusals()))
def test_it_is_refused_where_it_means_nothing(row: Json, tasks: list[Task]) -> None:
    path = row["field"].replace("[]", "[0]")
    also = ["spec.method.type"] if path.startswith("spec.method.") else []  # the task does not have the method at all
    for task in tasks:
        before = problems_of(job_of(task, NOWHERE, NOWHERE, row.get("base", {})))
        problems = problems_of(job_of(task, NOWHERE, NOWHERE, row.get("base", {}), row["set"]))
        named = [at for at in problems if path == at or path.startswith((f"{at}.", f"{at}[")) or at in also]
        assert named, f"{row['field']} of {task} with {row['set']} is accepted; refused are {problems or 'none'}"
        assert all(problems[at].strip("; ") for at in named)
        assert row.get("base") or path not in before, f"{row['field']} of {task} is refused without {row['set']}"
