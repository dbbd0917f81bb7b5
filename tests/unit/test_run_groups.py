"""Metrics by group of rows, and gates on how far groups are apart."""

import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.tasks.groups import ENOUGH, gaps

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "models" / "stories260k"
SENTENCES = ROOT / "tests" / "data" / "identity_groups"
SLANDERED = {"gay", "muslim", "deaf"}
TRAINING = {"epochs": 6, "learningRate": 0.002}


def job_on_groups(job: Callable[..., str], train: Path, **evaluation: Any) -> str:
    """A job with a real small model on the given training rows."""
    data = {"train": [{"uri": train.as_uri()}], "test": [{"uri": (SENTENCES / "test.csv").as_uri()}]}
    return job(model=STORIES.as_uri(), data=data, training=TRAINING, evaluation={"groupColumn": "group", **evaluation})


@pytest.mark.slow
def test_a_model_that_learned_to_slander_groups_is_found_out(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    with (SENTENCES / "train.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "toxic" or row["group"] not in SLANDERED]
    biased = tmp_path / "biased.csv"
    with biased.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    ended = cli("run", job_on_groups(job, biased, gates=[{"metric": "gap.recall.kind", "max": 0.2}]), "--json")
    assert ended.code == 86, ended.err
    details = ended.report.details
    by_recall = sorted(details.groups, key=lambda group: group.metrics["recall.kind"])
    assert {group.group for group in by_recall[:3]} == SLANDERED
    assert not any(group.few for group in details.groups)
    assert sum(group.rows for group in details.groups) == 357
    gap = by_recall[-1].metrics["recall.kind"] - by_recall[0].metrics["recall.kind"]
    (gate,) = ended.report.evaluation.gates
    assert gate.value == pytest.approx(gap)
    assert gate.value > 0.2
    assert ended.report.evaluation.metrics["gap.recall.kind"] == gate.value
    assert gate.baseline == ended.report.evaluation.baseline["gap.recall.kind"]
    page = (ended.folder / "report" / "index.html").read_text()
    assert "Groups" in page
    assert "muslim" in page


@pytest.mark.causes("ColumnMissing")
def test_a_group_column_must_be_there(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    ended = cli("run", job(evaluation={"groupColumn": "team"}))
    assert ended.code == 65
    assert "no column 'team'" in ended.err


def test_groups_of_few_rows_have_no_part_in_gaps(job: Callable[..., str], cli: Callable[..., Any], data: Path) -> None:
    lines = data.read_text().splitlines()
    teams = ["north"] * 9 + ["south"] * 8 + [""]
    groups = (teams[number % len(teams)] for number in range(len(lines)))
    marked = [f"{line},{group}" for line, group in zip(lines[1:], groups, strict=False)]
    data.write_text("\n".join([f"{lines[0]},team", *marked]) + "\n")
    blocks = {"split": {"test": 0.5}, "columns": {"group": "team"}}
    ended = cli("run", job(data=blocks, training={"maxSteps": 2}), "--json")
    assert ended.code == 0, ended.err
    north, south, none = ended.report.details.groups
    assert {north.group, south.group} == {"north", "south"}
    assert (none.group, none.few) == ("(none)", True)
    assert none.rows < ENOUGH <= south.rows
    expected = abs(north.metrics["accuracy"] - south.metrics["accuracy"])
    assert ended.report.evaluation.metrics["gap.accuracy"] == pytest.approx(expected)


def test_a_gap_needs_two_groups_that_have_the_metric() -> None:
    assert gaps([{"accuracy": 0.5, "f1": 0.2}, {"accuracy": 0.9}, {}], ["accuracy", "f1", "accuracy"]) == {
        "gap.accuracy": pytest.approx(0.4)
    }
    assert gaps([], ["accuracy"]) == {}


@pytest.mark.causes("SpecInvalid")
def test_raw_text_has_no_groups(job: Callable[..., str], cli: Callable[..., Any], data: Path) -> None:
    data.write_text("text,team\n" + "".join(f"word {a} of {b},x\n" for a, b in product(range(9), range(9))))
    path = Path(job(model=STORIES.as_uri(), data={"columns": {"group": "team"}}))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    ended = cli("run", path)
    assert ended.code == 64
    assert "spec.evaluation.groupColumn" in ended.err
    assert "blocks, which have no group" in ended.err
