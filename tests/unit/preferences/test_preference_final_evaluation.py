"""What is measured beside the task itself on pairs: groups of them, an old taste, and the language."""

import json
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Report

Run = Callable[..., tuple[Report, Path]]
Lines = Callable[[str, list[dict[str, Any]]], str]
PAIRS = Path(__file__).parents[3] / "examples" / "data" / "preferences.jsonl"
TRAINING = {"epochs": 2, "batchSize": 8, "learningRate": 3e-4}


@pytest.fixture
def data(lines: Lines) -> dict[str, Any]:
    """Training pairs, and test pairs in two groups; those of the second are the other way round."""
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    texts = [(row["prompt"][-20:], row["chosen"].splitlines()[-1], row["chosen"][:60]) for row in rows]
    brief, long = (
        [{"prompt": text[0], one: text[1], other: text[2], "taste": taste} for text in texts]
        for one, other, taste in (("chosen", "rejected", "brief"), ("rejected", "chosen", "long"))
    )
    return {
        "train": [{"uri": lines("train.jsonl", brief[:40])}],
        "test": [{"uri": lines("test.jsonl", brief[40:72] + long[72:104])}],
        "split": {"validation": 0.15},
        "maxLength": 160,
    }


@pytest.mark.parametrize(
    ("task", "share", "preference"),
    [("Preference", "rewardAccuracy", {"preference": {"loss": "DPO"}}), ("RewardModel", "accuracy", {})],
)
def test_groups_and_an_old_taste_are_measured(
    run: Run, data: dict[str, Any], task: str, share: str, preference: dict[str, Any]
) -> None:
    rate = {} if preference else {"learningRate": 3e-3}
    report, _ = run(
        task,
        data=data,
        training=TRAINING | preference | rate,
        evaluation={
            "groupColumn": "taste",
            "retention": {"data": data["test"]},
            "gates": [{"metric": f"gap.{share}", "min": 0.5}, {"metric": f"retention.{share}", "min": 0.3}],
        }
        | ({"generation": {"maxNewTokens": 2}} if preference else {}),
    )
    assert all(gate.passed for gate in report.evaluation.gates)
    assert report.details is not None
    by_taste = {group.group: group for group in report.details.groups}
    assert by_taste["brief"].metrics[share] > 0.8
    assert by_taste["long"].metrics[share] < 0.2
    found, before = report.evaluation.metrics, report.evaluation.baseline
    assert found[f"gap.{share}"] == by_taste["brief"].metrics[share] - by_taste["long"].metrics[share]
    assert found["retention.evalLoss"] == pytest.approx(found["evalLoss"], rel=1e-5), "the old pairs are the test pairs"
    if preference:
        assert before["retention.evalLoss"] == pytest.approx(log(2), abs=1e-4), "the reference is that of the old pairs"


def test_the_language_of_a_model_that_got_a_taste_is_measured(
    run: Run, data: dict[str, Any], lines: Lines, sentences: list[str]
) -> None:
    old = {"uri": lines("old.jsonl", [{"text": text} for text in sentences])}
    report, _ = run(
        "Preference",
        "LoRA",
        data=data,
        training=TRAINING | {"learningRate": 3e-3},
        evaluation={"retention": {"data": [old], "task": "CausalLM"}, "generation": {"maxNewTokens": 2}},
    )
    found, before = report.evaluation.metrics, report.evaluation.baseline
    assert found["retention.perplexity"] != pytest.approx(before["retention.perplexity"], rel=1e-3)
