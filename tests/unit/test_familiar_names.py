"""Names from other trainers are understood in hints, a missing file names jobs alone, a missing GPU is a failure."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import cuda

from finetune_api.failures import GpuNotVisible, ManifestUnreadable
from finetune_api.fields import fields
from finetune_api.run_file import Mode
from finetune_api.spec import Spec
from finetune_trainer.manifest.source import read_source
from finetune_trainer.manifest.unknown_fields import FAMILIAR, meant_field
from finetune_trainer.pod.gpus import check_gpu

SPEC: dict[str, Any] = {
    "task": "CausalLM",
    "model": {"uri": "hf://a/b"},
    "data": {"train": [{"uri": "s3://b/x.csv"}]},
    "output": {"uri": "s3://b/out"},
}


@pytest.mark.parametrize("name", FAMILIAR)
def test_each_familiar_name_means_a_field_that_is_there(name: str) -> None:
    assert FAMILIAR[name] in fields()
    assert FAMILIAR[name].rpartition(".")[2] in meant_field(("spec", "training", name))


def test_accumulation_is_explained_by_the_batch_size() -> None:
    hint = meant_field(("spec", "training", "gradient_accumulation_steps"))
    assert "batchSize is the effective batch size" in hint
    assert "did you mean" not in hint
    assert "method.type: QLoRA" in meant_field(("spec", "model", "load_in_4bit"))


def test_a_missing_job_names_jobs_only(tmp_path: Path) -> None:
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    (tmp_path / "values.yaml").write_text("replicas: 1\n")
    with pytest.raises(ManifestUnreadable) as caught:
        read_source(tmp_path / "nope.yaml")
    assert caught.value.problems[0].hint == "check the path"
    (tmp_path / "train.yaml").write_text("kind: FineTuneJob\n")
    with pytest.raises(ManifestUnreadable) as caught:
        read_source(tmp_path / "nope.yaml")
    assert caught.value.problems[0].hint == "job files there: train.yaml"


@pytest.mark.causes("GpuNotVisible")
def test_a_pod_without_the_gpu_that_was_ordered_ends_at_once(tmp_path: Path) -> None:
    if cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(GpuNotVisible) as caught:
        check_gpu(Spec.model_validate(SPEC | {"compute": {"gpusPerNode": 1}}))
    assert caught.value.problems[0].where == "spec.compute.gpusPerNode"
    assert caught.value.problems[0].hint
    check_gpu(Spec.model_validate(SPEC))
    order = {"format": "finetune.dev/run/v1", "mode": Mode.TRAIN, "spec": SPEC | {"compute": {"gpusPerNode": 1}},
             "job": {"name": "tickets", "namespace": "team-a", "uid": "6f1c"}, "stores": {}}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(order))
    (tmp_path / "dev").mkdir()
    command = [sys.executable, "-m", "finetune_trainer", "pod", "--run-file", str(tmp_path / "run.json"), "--port", "0"]
    ended = subprocess.run([*command, "--root", str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 69
    assert "PyTorch sees none" in ended.stderr
    assert '"GpuNotVisible"' in (tmp_path / "dev" / "termination-log").read_text()


def test_a_local_run_says_that_it_uses_the_cpu(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    if cuda.is_available():
        pytest.skip("this machine has a GPU")
    ended = cli("run", job(model="file://./nowhere", compute={"gpusPerNode": 1}))
    assert "this run uses the CPU" in ended.err
