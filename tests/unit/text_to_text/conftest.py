"""Fixtures of text to text: jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def writing_job(tmp_path: Path) -> Callable[..., str]:
    """A function that writes a job file of text to text: blocks are merged over a small one."""

    def write(model: Path, train: Path, name: str = "writes", **blocks: Any) -> str:
        spec: dict[str, Any] = {
            "task": "Seq2Seq",
            "model": {"uri": model.as_uri()},
            "data": {"train": [{"uri": train.as_uri()}], "maxLength": 96, "maxTargetLength": 32},
            "method": {"type": "Full"},
            "training": {"epochs": 1, "learningRate": 0.003, "batchSize": 16},
            "evaluation": {"generation": {"maxNewTokens": 24}},
            "output": {"uri": "file://./out"},
        }
        for block, fields in blocks.items():
            spec[block] = {**spec.get(block, {}), **fields}
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": name}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**manifest, "spec": spec}))
        return str(path)

    return write
