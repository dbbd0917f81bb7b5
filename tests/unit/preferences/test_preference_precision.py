"""Base model, reference and tuned model are measured in one precision: a model that was not trained has not moved."""

from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Report

Run = Callable[..., tuple[Report, Path]]
NO_STEP = 1e-12
"""A learning rate at which no weight moves: what is measured after training is the base model once more."""


def data(lines: Callable[..., str], pairs: list[dict[str, Any]]) -> dict[str, Any]:
    split = {"validation": 0.15, "test": 0.25}
    return {"train": [{"uri": lines("pairs.jsonl", pairs[:20])}], "split": split, "maxLength": 128}


@pytest.mark.parametrize("method", ["Full", "LoRA", "PromptTuning"])
def test_the_base_model_of_dpo_under_bf16(
    run: Run, lines: Callable[..., str], brief_pairs: list[dict[str, Any]], method: str
) -> None:
    training = {"epochs": 1, "batchSize": 16, "learningRate": NO_STEP, "precision": "BF16"}
    report, _ = run(
        "Preference",
        method,
        data=data(lines, brief_pairs),
        training=training,
        evaluation={"generation": {"maxNewTokens": 2}},
    )
    before, after = report.evaluation.baseline, report.evaluation.metrics
    assert before["rewardAccuracy"] == 0.5
    assert before["rewardMargin"] == 0
    assert before["evalLoss"] == pytest.approx(log(2), abs=1e-7)
    start = report.curves[0]
    if method == "PromptTuning":  # its virtual tokens are there before the first step
        return
    assert start.validation["rewardMargin"] == 0
    assert next(point.loss for point in report.curves if point.loss is not None) == pytest.approx(log(2), abs=2e-3)
    assert after == pytest.approx(before, abs=1e-6)


def test_the_base_model_of_a_policy_under_bf16(
    run: Run, lines: Callable[..., str], brief_pairs: list[dict[str, Any]]
) -> None:
    asked = [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in brief_pairs[:16]]
    policy = {"reward": {"type": "Contains"}, "numGenerations": 2, "maxNewTokens": 4, "klCoefficient": 0.1}
    report, _ = run(
        "PolicyOptimization",
        data=data(lines, asked),
        training={"maxSteps": 1, "batchSize": 2, "learningRate": NO_STEP, "precision": "BF16", "policy": policy},
        evaluation={"generation": {"maxNewTokens": 4}},
    )
    assert report.evaluation.baseline["kl"] == 0
    assert report.evaluation.metrics["kl"] == 0


@pytest.mark.parametrize("precision", ["BF16", "FP32"])
def test_a_classifier_that_did_not_move_measures_as_its_base(
    run: Run, lines: Callable[..., str], tiny_model: Callable[..., Path], sentences: list[str], precision: str
) -> None:
    """Also two runs of different precision, one after the other, in one process."""
    rows = [{"text": text, "label": text.split()[0]} for text in sentences]
    report, _ = run(
        "SequenceClassification",
        model=tiny_model("bert"),
        data={"train": [{"uri": lines("rows.jsonl", rows)}], "split": {"validation": 0.2, "test": 0.3}},
        training={"epochs": 1, "batchSize": 8, "learningRate": NO_STEP, "precision": precision},
    )
    assert report.evaluation.metrics == pytest.approx(report.evaluation.baseline, abs=1e-6)
