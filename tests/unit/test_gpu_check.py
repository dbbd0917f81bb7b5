"""The check on a GPU (`make gpu-check`): its arithmetic, its table, and what it says where there is no GPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.job import FineTuneJob

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "gpu"]:
        del sys.modules[name]


def test_work_of_a_token_is_that_of_the_weights_it_meets() -> None:
    """Two layers of width 4 with an MLP of 8, 2 heads of which 1 has keys, 10 words, half of the tokens labelled."""
    from gpu.sizes import Size
    from gpu.ways import RANK, Way
    from gpu.work import flop_per_token

    config = {
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 10,
    }
    size = Size("llama", config, rows=1, longest=8, batch=1, steps=2, warm_up=1)
    body = 2 * (16 + 8 + 8 + 16 + 3 * 32)
    assert flop_per_token(Way("a", "Full"), size, 0.5) == 6 * body + 6 * 40 * 0.5
    adapter = 2 * RANK * (8 + 6 + 6 + 8 + 3 * 12)
    assert flop_per_token(Way("b", "LoRA"), size, 0.5) == 4 * body + 4 * 40 * 0.5 + 6 * adapter


@pytest.mark.parametrize(("estimated", "is_off"), [(8.6, False), (11.4, False), (8.4, True), (11.6, True), (0, False)])
def test_an_estimate_may_be_15_percent_off(estimated: float, is_off: bool) -> None:
    from gpu.table import Row
    from gpu.ways import WAYS

    figures = {"rate": 1.0, "loss": 1.0, "peak": 10.0, "estimated": estimated}
    assert Row("a", "measured", way=WAYS[0], figures=figures).is_off == is_off


def test_peaks_are_of_the_device_that_is_named() -> None:
    from gpu.work import published_peak

    assert published_peak("NVIDIA H200") == published_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert published_peak("NVIDIA H100 PCIe") == 756e12
    assert published_peak("NVIDIA L4") == 121e12
    assert published_peak("NVIDIA L40S") == 362e12
    assert published_peak("another") == 0


def test_all_ways_are_valid_jobs(tmp_path: Path) -> None:
    from gpu.sizes import size_of
    from gpu.ways import WAYS, job_of

    for way in WAYS:
        job = FineTuneJob.model_validate(job_of(way, tmp_path, size_of("llama", rehearsal=True)))
        assert [*semantic_problems(job.spec), *unsupported(job.spec)] == [], way.name


def test_without_a_gpu_it_says_so() -> None:
    known = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu_check.py")], capture_output=True, text=True, check=False, env=known
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("There is no GPU here")
