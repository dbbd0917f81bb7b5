"""Decoders as classifiers: GPT-2's and Llama's kind, which have no padding token and look at their last one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["Full", "LoRA"])
def test_decoders_learn_to_classify_and_predict(
    job: Callable[..., str], cli: Callable[..., Any], tiny_model: Callable[..., Path], kind: str, method: str
) -> None:
    rate = {"Full": 0.003, "LoRA": 0.03}[method]
    written = job(
        model=tiny_model(kind).as_uri(), method={"type": method}, training={"epochs": 4, "learningRate": rate}
    )
    ended = cli("run", written, "--json")
    assert ended.code == 0, ended.err
    evaluation = ended.report.evaluation
    assert evaluation.metrics["accuracy"] > evaluation.baseline["accuracy"] + 0.2
    assert evaluation.metrics["evalLoss"] < evaluation.baseline["evalLoss"]
    answered = cli("predict", ended.folder, "-", "--format", "jsonl", stdin=b"The printer was a joy.\n")
    assert answered.events[0]["label"] in {"praise", "complaint", "neither"}
