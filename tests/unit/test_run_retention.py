"""An old skill is measured before and after training, on the same model, and gates bound what it may lose."""

import json
from collections.abc import Callable
from math import exp
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM

from finetune_api.tasks import Task

ROOT = Path(__file__).parents[2]
STORIES = ROOT / "tests" / "models" / "stories260k"
PLAYS = ROOT / "examples" / "data" / "shakespeare.jsonl"
NAMES, FRIENDS = ("Lily", "Tom", "Sue", "Ben"), ("a small dog", "a big cat", "her mom", "a red bird")
TALES = [
    f"Once upon a time, there was a little child named {name}. One day {name} went to the park and saw {friend}. "
    f"They liked to play all day. {name} was very happy and they went home."
    for name in NAMES
    for friend in FRIENDS
]


def rows_file(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write rows, and return them as a source."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"uri": path.as_uri()}


@pytest.fixture
def mask_model(tmp_path: Path, tiny_model: Callable[..., Path]) -> Path:
    """A tiny encoder with a head for masked language modelling, random as it is."""
    folder = tmp_path / "masked"
    copytree(tiny_model("bert"), folder)
    torch.manual_seed(1)
    AutoModelForMaskedLM.from_pretrained(folder).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_stories_are_forgotten_over_plays_and_the_gate_says_so(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    old = rows_file(tmp_path / "tales.jsonl", [{"text": text} for text in TALES])
    path = Path(
        job(
            model=STORIES.as_uri(),
            data={"train": [{"uri": PLAYS.as_uri()}], "maxRows": 60, "maxLength": 128, "split": {"test": 0.1}},
            training={"epochs": 1, "learningRate": 0.003, "batchSize": 8},
            evaluation={
                "gates": [{"metric": "retention.perplexity", "maxRegression": 0.5}],
                "retention": {"data": [old]},
                "generation": {"maxNewTokens": 4},
            },
        )
    )
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    ended = cli("run", path, "--json")
    assert ended.code == 86, ended.err
    tuned, before = ended.report.evaluation.metrics, ended.report.evaluation.baseline
    assert tuned["perplexity"] < before["perplexity"], "plays were learned"
    assert before["retention.perplexity"] < before["perplexity"] / 5, "the base was made of such stories"
    assert tuned["retention.perplexity"] > before["retention.perplexity"] + 0.5
    assert before["retention.perplexity"] == pytest.approx(exp(before["retention.evalLoss"]))
    assert {"retention.tokenAccuracy", "retention.bitsPerByte"} <= tuned.keys()
    assert ended.report.details.retention.rows == len(TALES)
    page = (ended.folder / "report" / "index.html").read_text()
    assert "Retention" in page
    assert "16 rows of CausalLM" in page


@pytest.mark.parametrize(("method", "rate"), [("Full", 0.005), ("LoRA", 0.02)])
def test_a_classifier_is_asked_for_the_language_that_its_base_knew(
    job: Callable[..., str],
    cli: Callable[..., Any],
    tmp_path: Path,
    sentences: list[str],
    mask_model: Path,
    method: str,
    rate: float,
) -> None:
    old = rows_file(tmp_path / "old.jsonl", [{"text": text} for text in sentences])
    retention = {"data": [old], "task": "MaskedLM"}
    blocks = {"model": mask_model.as_uri(), "method": {"type": method}, "evaluation": {"retention": retention}}
    learned = cli("run", job(**blocks, training={"learningRate": rate}), "--json")
    assert learned.code == 0, learned.err
    tuned, before = learned.report.evaluation.metrics, learned.report.evaluation.baseline
    assert tuned["retention.evalLoss"] != pytest.approx(before["retention.evalLoss"], rel=1e-4)
    assert learned.report.details.retention.task is Task.MASKED_LM
    path = Path(job("alone", model=mask_model.as_uri(), data={"test": [old]}, training={"maxSteps": 1}))
    path.write_text(path.read_text().replace("SequenceClassification", "MaskedLM"))
    alone = cli("run", path, "--json")
    assert alone.code == 0, alone.err
    expected = alone.report.evaluation.baseline["evalLoss"]
    assert before["retention.evalLoss"] == pytest.approx(expected, rel=1e-5), "the body and its own head, as they came"


def test_labels_of_old_rows_are_those_of_the_job(
    job: Callable[..., str], cli: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    lines = data.read_text().splitlines()[1:41]
    rows = [dict(zip(("body", "verdict"), line.rsplit(",", 1), strict=True)) for line in lines]
    old = rows_file(tmp_path / "old.jsonl", [*rows, {"body": "what is this", "verdict": "unheard of"}])
    retention = {"data": [old], "columns": {"text": "body", "label": "verdict"}}
    gates = [{"metric": "retention.recall.praise", "min": 0}, {"metric": "retention.accuracy", "minImprovement": 0.1}]
    training = {"epochs": 6, "learningRate": 0.005}
    ended = cli("run", job(evaluation={"retention": retention, "gates": gates}, training=training), "--json")
    assert ended.code == 0, ended.err
    assert all(gate.passed for gate in ended.report.evaluation.gates)
    kept = ended.report.details.retention
    assert (kept.rows, kept.bad_rows) == (40, 1)


@pytest.mark.causes("TooManyBadRows")
def test_old_rows_with_other_labels_are_refused(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path
) -> None:
    old = rows_file(tmp_path / "old.jsonl", [{"text": "fine", "label": "elsewhere"}])
    for command in ("validate", "run"):
        ended = cli(command, job(evaluation={"retention": {"data": [old]}}))
        assert ended.code == 65
        assert "spec.evaluation.retention.data" in ended.err
        assert "elsewhere" in ended.err


@pytest.mark.causes("ModelUnsuitable")
def test_a_base_without_the_head_can_not_be_asked(
    job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path, sentences: list[str]
) -> None:
    old = rows_file(tmp_path / "old.jsonl", [{"text": text} for text in sentences])
    ended = cli("run", job(evaluation={"retention": {"data": [old], "task": "MaskedLM"}}))
    assert ended.code == 64
    assert "spec.evaluation.retention.task" in ended.err
    assert "remove evaluation.retention" in ended.err
