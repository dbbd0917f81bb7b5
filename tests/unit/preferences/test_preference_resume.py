"""Runs on pairs that are stopped and go on end as if they never were; the reference is still the model as it came."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stopped_runs import STOP_AT, finished, start, stopped

from finetune_trainer.training.reference import kept


@pytest.mark.parametrize(
    ("task", "method", "cached"),
    [("Preference", "Full", True), ("Preference", "LoRA", False), ("RewardModel", "Full", True)],
    ids=["the reference is cached", "the reference is computed again", "a reward model"],
)
def test_a_run_that_goes_on_ends_as_one_that_never_stopped(
    write_job: Callable[..., Path],
    lines: Callable[[str, list[dict[str, Any]]], str],
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    method: str,
    cached: bool,
) -> None:
    rows = [
        {"prompt": a, "chosen": b, "rejected": c}
        for a, b, c in zip(sentences, sentences[1:], sentences[2:], strict=False)
    ]
    job = write_job(
        task,
        method,
        data={"train": [{"uri": lines("pairs.jsonl", rows)}], "maxLength": 96},
        training={"maxSteps": 40, "batchSize": 4, "learningRate": 0.001},
        evaluation={"everySteps": 15, **({"generation": {"maxNewTokens": 2}} if task == "Preference" else {})},
    )
    assert stopped(job, "two") == 85
    if not cached:
        monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "another"))
    assert [finished(start(job, "one")), finished(start(job, "two", "--resume"))] == [0, 0]
    reports = [json.loads((tmp_path / f"out/job/{uid}/report/report.json").read_text()) for uid in ("one", "two")]
    assert reports[0]["resumedFrom"] is None
    assert reports[1]["resumedFrom"] >= STOP_AT
    assert reports[0]["evaluation"] == reports[1]["evaluation"]
    assert reports[0]["curves"] == reports[1]["curves"]
    files = [next((tmp_path / f"out/job/{uid}/model").glob("*.safetensors")) for uid in ("one", "two")]
    once, again = (load_file(file) for file in files)
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)


def test_a_reference_is_made_once_and_again_where_its_file_is_broken(tmp_path: Path) -> None:
    made, told = list[int](), list[int]()

    def make() -> np.ndarray[Any, np.dtype[np.float64]]:
        made.append(1)
        return np.asarray([[-1.0, -2.0], [-3.0, -4.0]])

    for _ in range(2):
        assert kept("key", tmp_path, 2, make, told.append).tolist() == [[-1.0, -2.0], [-3.0, -4.0]]
    assert (len(made), told) == (1, [2])
    (tmp_path / "key.npy").write_bytes(b"broken")
    kept("key", tmp_path, 2, make, told.append)
    kept("key", tmp_path, 2, make, told.append)
    assert (len(made), told) == (2, [2, 2])
