"""Every method that is built for pairs of answers learns a preference, and what it writes predicts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Report
from finetune_api.tasks import BUILT, Task

RATES = {
    "FeatureExtraction": 1e-2,
    "DoRA": 3e-3,
    "IA3": 3e-2,
    "PrefixTuning": 3e-2,
    "PromptTuning": 3e-2,
    "PTuning": 1e-2,
    "BottleneckAdapter": 1e-2,
}
BLOCKS = {"PrefixTuning": "prefixTuning", "PromptTuning": "promptTuning", "PTuning": "pTuning"}
SEEN_ELSEWHERE = {"Full", "LoRA"}
CASES = [
    (task.value, method.value)
    for task in (Task.PREFERENCE, Task.REWARD_MODEL)
    for method in sorted(BUILT[task])
    if method not in SEEN_ELSEWHERE
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "method"), CASES)
def test_a_preference_is_learned(
    run: Callable[..., tuple[Report, Path]],
    predict: Callable[..., list[dict[str, Any]]],
    lines: Callable[[str, list[dict[str, Any]]], str],
    brief_pairs: list[dict[str, Any]],
    task: str,
    method: str,
) -> None:
    settings = {BLOCKS[method]: {"virtualTokens": 8}} if method in BLOCKS else {}
    report, folder = run(
        task,
        data={"train": [{"uri": lines("pairs.jsonl", brief_pairs[:40])}], "maxLength": 160}
        | {"split": {"validation": 0.15, "test": 0.25}},
        method={"type": method, **settings},
        training={"epochs": 20 if method == "FeatureExtraction" else 3, "batchSize": 8, "learningRate": RATES[method]},
        **({"evaluation": {"generation": {"maxNewTokens": 4}}} if task == Task.PREFERENCE else {}),
    )
    tuned, before = report.evaluation.metrics, report.evaluation.baseline
    accuracy = "rewardAccuracy" if task == Task.PREFERENCE else "accuracy"
    assert before[accuracy] == 0.5
    assert tuned[accuracy] > 0.8
    assert tuned["evalLoss"] < before["evalLoss"]
    (found,) = predict(folder, [{"prompt": "How many?", "completion": "A: 3"}])
    assert ("score" in found) == (task == Task.REWARD_MODEL)
