"""Tests that need a GPU: skipped without one, but for a rehearsal on a CPU (`make gpu-check ARGS=--dry-run`)."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

WORDS = 300
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "initializer_range": 0.2,
}


def is_rehearsal() -> bool:
    """Whether tests run on a CPU, to see that they work."""
    return bool(os.environ.get("FINETUNE_GPU_REHEARSAL"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is none."""
    ours = [item for item in items if item.get_closest_marker("gpu")]
    if not ours or is_rehearsal():
        return
    import torch

    if not torch.cuda.is_available():
        for item in ours:
            item.add_marker(pytest.mark.skip(reason="there is no GPU here"))


@pytest.fixture
def device() -> str:
    """Where tests compute: a GPU, but for a rehearsal."""
    return "cpu" if is_rehearsal() else "cuda"


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from `llama` or `qwen3` to the folder of a tiny model of random weights in BF16."""
    from gpu.inputs import write_model

    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = write_model(tmp_path_factory.mktemp(family) / "model", family, TINY, 64)
        return made[family]

    return make


@pytest.fixture
def spec(tmp_path: Path, chat_model: Callable[[str], Path]) -> Callable[..., dict[str, Any]]:
    """A function that makes the spec of a job over 48 rows that a few words decide."""

    def make(family: str = "llama", *, method: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
        rows = [{"prompt": _words(n, 4 + n % 9), "completion": _words(n % 4, 3 + n % 5)} for n in range(48)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {"maxSteps": 12, "batchSize": 8, "learningRate": 0.01, "precision": "BF16", "warmupRatio": 0}
        return {
            "task": "CausalLM",
            "model": {"uri": chat_model(family).as_uri()},
            "data": {
                "train": [{"uri": (tmp_path / "rows.jsonl").as_uri()}],
                "split": {"validation": 0, "test": 0, "nearDuplicates": "Ignore"},
                "promptTemplate": "{prompt} ",
                "maxLength": 48,
                "clean": {"dropDuplicates": False},
            },
            "method": method or {"type": "LoRA", "lora": {"dropout": 0}},
            "training": settings | training,
            "evaluation": {"baseline": False, "generation": {"maxNewTokens": 1}},
        }

    return make


def _words(seed: int, count: int) -> str:
    return " ".join(f"w{(seed * 31 + place * 7) % (WORDS - 10)}" for place in range(count))
