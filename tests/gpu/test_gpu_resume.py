"""A run on a GPU that is killed resumes from its newest checkpoint and ends with the weights of one that never was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.gpu
DETERMINISTIC = """
import torch
torch.use_deterministic_algorithms(True, warn_only=True)
from finetune_trainer.cli.app import main
main()
"""
"""The program with kernels of which each run gives the same sums."""


def start(job: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", DETERMINISTIC, "run", str(job), *arguments, "--json"]
    known = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-2_000:]
    return {event["event"]: event for event in map(json.loads, out.splitlines())}


def weights(events: dict[str, Any]) -> dict[str, bytes]:
    folder = Path(events["result"]["output"].removeprefix("file://"))
    (file,) = (folder / "model").glob("*.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}


def kill_after_checkpoint(job: Path, uid: str, step: int) -> None:
    process = start(job, "--uid", uid)
    assert process.stdout is not None
    for text in process.stdout:
        event = json.loads(text)
        if event["event"] == "checkpoint" and event["step"] >= step:
            process.kill()
            break
    process.communicate()
    assert process.returncode < 0, "it ended before it could be killed"


@pytest.mark.parametrize("kind", ["LoRA", "Full"])
def test_a_killed_run_ends_with_the_same_weights(
    kind: str, spec: Callable[..., dict[str, Any]], tmp_path: Path, device: str
) -> None:
    """Checkpoints are copied from the GPU beside the steps that follow: a torn copy would show in the weights."""
    if device == "cpu" and kind == "Full":
        pytest.skip("LoRA rehearses it: each takes three processes")
    method = {"type": kind, **({"lora": {"dropout": 0.2}} if kind == "LoRA" else {})}
    content = spec(method=method, maxSteps=300 if device == "cuda" else 40, attnImplementation="Eager")
    content |= {
        "checkpoints": {"saveSteps": 20 if device == "cuda" else 5},
        "output": {"uri": (tmp_path / "out").as_uri()},
    }
    content["data"]["maxLength"] = 32
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "killed"}}
    job = tmp_path / "job.json"
    job.write_text(json.dumps({**manifest, "spec": content}))
    whole = ended(start(job, "--uid", "whole"))
    kill_after_checkpoint(job, "killed", 10)
    resumed = ended(start(job, "--uid", "killed", "--resume"))
    assert resumed["resume"]["step"] >= 10
    assert weights(resumed) == weights(whole)
