"""Fixtures of policy optimisation: a tiny model of stories, and a reward that it meets by chance now and then."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "models" / "stories260k"
NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Lucy", "Tim", "Sue")
THINGS = ("a red ball", "a big dog", "a small cat", "a new hat")
ROWS = [{"prompt": f"Once upon a time, {name} had {thing}.", "completion": "was"} for name in NAMES for thing in THINGS]
"""Beginnings of stories, to be gone on with a word that the model writes once in three times when it samples."""


@pytest.fixture(scope="session")
def beginnings() -> list[dict[str, str]]:
    """Prompts with the word that is wanted behind them."""
    return ROWS


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a job and its rows; `blocks` are added to those of the spec."""

    def write(policy: dict[str, Any] | None = None, method: str = "Full", **blocks: Any) -> Path:
        given = blocks.pop("rows", ROWS)
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in given))
        usual: dict[str, Any] = {"reward": {"type": "Contains"}, "numGenerations": 6}
        spec: dict[str, Any] = {
            "task": "PolicyOptimization",
            "model": {"uri": STORIES.as_uri()},
            "data": {"train": [{"uri": "file://./rows.jsonl"}], "maxLength": 64, "promptTemplate": "{prompt}"}
            | {"split": {"validation": 0.2, "test": 0.3}},
            "method": {"type": method},
            "training": {"maxSteps": 12, "batchSize": 4, "learningRate": 1e-3, "policy": usual | (policy or {})},
            "evaluation": {"evalSteps": 6, "generation": {"maxNewTokens": 8}},
            "output": {"uri": "file://./out"},
        }
        for block, fields in blocks.items():
            spec[block] = spec[block] | fields if isinstance(fields, dict) else fields
        kind = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**kind, "spec": spec}))
        return tmp_path / "job.yaml"

    return write
