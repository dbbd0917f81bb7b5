"""A language model run that is stopped and goes on hides the same tokens and ends with the same weights."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

STOP_AT = 5


def start(job: Path, uid: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "finetune_trainer", "run", str(job), "--uid", uid, "--json", *more],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 -- no threads
    )


def stopped(job: Path, uid: str) -> int:
    """Start the run, ask it to stop after some steps, and return its exit code."""
    process = start(job, uid)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] >= STOP_AT:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=120)
    return process.returncode


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
    assert [(process.communicate(timeout=120), process.returncode)[1] for process in processes] == [0, 0]
    reports = [json.loads((tmp_path / f"out/job/{uid}/report/report.json").read_text()) for uid in ("one", "two")]
    assert reports[0]["resumedFrom"] is None
    assert reports[1]["resumedFrom"] >= STOP_AT
    assert reports[0]["evaluation"]["metrics"] == reports[1]["evaluation"]["metrics"]
    once, again = (load_file(tmp_path / f"out/job/{uid}/model/model.safetensors") for uid in ("one", "two"))
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
