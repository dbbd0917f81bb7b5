"""A preference run that goes on elsewhere: the reference is still the model as it came, not as it has become."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stopped_runs import run_here

from finetune_trainer.training.losses.reference import cached_logprobs

STOP_AT = 5


@pytest.mark.slow
def test_a_reference_is_computed_again_where_it_is_not_cached(
    write_job: Callable[..., Path],
    lines: Callable[[str, list[dict[str, Any]]], str],
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"prompt": a, "chosen": b, "rejected": c}
        for a, b, c in zip(sentences, sentences[1:], sentences[2:], strict=False)
    ]
    job = write_job(
        "Preference",
        "LoRA",
        data={"train": [{"uri": lines("pairs.jsonl", rows)}], "maxLength": 96},
        training={"maxSteps": 8, "batchSize": 4, "learningRate": 0.001},
        evaluation={"evalSteps": 4, "generation": {"maxNewTokens": 2}},
    )
    once = run_here(job, "one")
    assert run_here(job, "two", stop_at=STOP_AT).code == 85
    monkeypatch.setenv("FINETUNE_CACHE", str(tmp_path / "another"))
    again = run_here(job, "two", "--resume")
    assert (once.code, again.code) == (0, 0)
    assert any(event.get("what") == "reference" for event in again.events)
    assert again.report.resumed_from == STOP_AT
    assert again.figures == once.figures
    assert again.weights == once.weights


def test_a_reference_is_made_once_and_again_where_its_file_is_broken(tmp_path: Path) -> None:
    made, told = list[int](), list[int]()

    def make() -> np.ndarray[Any, np.dtype[np.float64]]:
        made.append(1)
        return np.asarray([[-1.0, -2.0], [-3.0, -4.0]])

    for _ in range(2):
        assert cached_logprobs("key", tmp_path, 2, make, told.append).tolist() == [[-1.0, -2.0], [-3.0, -4.0]]
    assert (len(made), told) == (1, [2])
    (tmp_path / "key.npy").write_bytes(b"broken")
    cached_logprobs("key", tmp_path, 2, make, told.append)
    cached_logprobs("key", tmp_path, 2, make, told.append)
    assert (len(made), told) == (2, [2, 2])
