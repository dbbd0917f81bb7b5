"""A language model run that is stopped and goes on hides the same tokens and ends with the same weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from stopped_runs import STOP_AT, finished, start, stopped


@pytest.mark.slow
@pytest.mark.parametrize(("task", "kind"), [("MaskedLM", "bert"), ("CausalLM", "gpt2")])
def test_a_run_that_goes_on_ends_as_one_that_never_stopped(
    tmp_path: Path,
    with_head: Callable[[str], Path],
    lines: Callable[[str, list[dict[str, Any]]], str],
    sentences: list[str],
    task: str,
    kind: str,
) -> None:
    spec = {
        "task": task,
        "model": {"uri": with_head(kind).as_uri()},
        "data": {"train": [{"uri": lines("texts.jsonl", [{"text": text} for text in sentences])}], "maxLength": 24},
        "method": {"type": "Full"},
        "training": {"epochs": 20, "maxSteps": 40, "batchSize": 4, "learningRate": 0.003},
        "output": {"uri": f"file://{tmp_path}/out"},
    }
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}, "spec": spec}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(manifest))
    assert stopped(tmp_path / "job.yaml", "two") == 85
    processes = [start(tmp_path / "job.yaml", "one"), start(tmp_path / "job.yaml", "two", "--resume")]
    assert [finished(process) for process in processes] == [0, 0]
    reports = [json.loads((tmp_path / f"out/job/{uid}/report/report.json").read_text()) for uid in ("one", "two")]
    assert reports[0]["resumedFrom"] is None
    assert reports[1]["resumedFrom"] >= STOP_AT
    assert reports[0]["evaluation"]["metrics"] == reports[1]["evaluation"]["metrics"]
    once, again = (load_file(tmp_path / f"out/job/{uid}/model/model.safetensors") for uid in ("one", "two"))
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
