"""Examples as they stand, but for a tiny model, fewer steps and gates that a random model can't pass."""

import json
from collections.abc import Callable
from csv import DictReader
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., str]:
    """A function that copies an example beside its rows, with another model and with blocks merged over its own."""

    def write(name: str, model: Path, **blocks: Any) -> str:
        job = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
        job["spec"]["model"] = {"uri": model.as_uri()}
        for block, fields in blocks.items():
            job["spec"][block] = {**job["spec"].get(block, {}), **fields}
        if not (tmp_path / "data").exists():
            (tmp_path / "data").symlink_to(EXAMPLES / "data")
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(job))
        return str(tmp_path / f"{name}.yaml")

    return write


@pytest.mark.slow
def test_new_tickets_are_sorted(
    example: Callable[..., str], tiny_model: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    changes = {"data": {"maxLength": 32}, "training": {"epochs": 1}, "evaluation": {"gates": []}}
    job = example("sort-new-tickets", tiny_model("bert"), **changes)
    ended = cli("run", job, "--json")
    assert ended.code == 0, ended.err
    new = list(DictReader((EXAMPLES / "data/new_tickets.csv").open(newline="")))
    found = [json.loads(line) for line in (ended.folder / "predictions.jsonl").read_text().splitlines()]
    assert [row["text"] for row in found] == [row["text"] for row in new]
    assert {row["label"] for row in found} <= set(ended.report.data.label_names)
    assert all(len(row["scores"]) == 6 for row in found)


@pytest.mark.slow
def test_two_tasks_are_mixed_by_weight_and_easy_first(
    example: Callable[..., str], encoder_decoder: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    texts = (EXAMPLES / "data/e2e_restaurants.jsonl").read_text().splitlines()
    job = example(
        "two-tasks-in-one-model",
        encoder_decoder("t5", texts),
        data={"maxRows": 120},
        training={"maxSteps": 24, "epochs": None, "learningRate": 0.02, "batchSize": 8},
        evaluation={"gates": [], "fewShot": {"examples": 1}, "generation": {"maxNewTokens": 8}, "metric": "evalLoss"},
    )
    ended = cli("run", job, "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    assert [(source.prefix, source.share) for source in report.data.sources] == [("say: ", 0.75), ("read: ", 0.25)]
    losses = [point.loss for point in report.curves if point.loss is not None]
    assert min(losses[1:]) < losses[0]
    assert report.evaluation.metrics["evalLoss"] < report.evaluation.baseline["evalLoss"]
    assert report.details.few_shot.prompt.count(" answer:") == 2
    assert report.details.few_shot.prompt.count("say: ") in (0, 2), "an example is of the row's own task"


@pytest.mark.slow
def test_two_quickstarts_are_merged(
    example: Callable[..., str], tiny_model: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    few = {"data": {"maxLength": 32, "maxRows": 100}, "training": {"epochs": 1}, "evaluation": {"gates": []}}
    quickstart = example("quickstart", tiny_model("bert"), **few)
    for uid, seed in (("one", 42), ("two", 7)):
        ended = cli("run", quickstart, "--uid", uid, "--set", f"training.seed={seed}", "--json")
        assert ended.code == 0, ended.out[-2000:]
    merging = example("merge-results", tiny_model("bert"), evaluation={"gates": []})
    assert cli("validate", merging).code == 0
    ended = cli("run", merging, "--json")
    assert ended.code == 0, ended.out[-2000:]
    assert [source.uri[-3:] for source in ended.report.merge.sources] == ["one", "two"]
    assert ended.report.merge.adapter
    assert ended.report.data.splits.keys() == {"test"}
