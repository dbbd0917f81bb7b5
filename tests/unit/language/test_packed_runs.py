"""Whole runs on packed rows: the same curve as with padded batches, and what is refused before training."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import BloomConfig, BloomForCausalLM

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_trainer.cli.json_progress import JsonObserver
from finetune_trainer.manifest import load_job
from finetune_trainer.run import run_job
from finetune_trainer.run_record import RunResult
from finetune_trainer.storage import Site

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "models" / "stories260k"
PROBLEMS = ROOT / "tests" / "data" / "word_problems" / "word_problems.jsonl"
Run = Callable[..., RunResult]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a job on word problems, without dropout."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = tmp_path / "problems.jsonl"
    rows.write_text("".join(PROBLEMS.read_text().splitlines(keepends=True)[:60]))

    def call(uid: str, model: Path = STORIES, **training: Any) -> RunResult:
        spec: dict[str, Any] = {
            "task": "CausalLM",
            "model": {"uri": model.as_uri()},
            "data": {
                "train": [{"uri": rows.as_uri()}],
                "columns": {"prompt": "question", "completion": "answer"},
                "maxLength": 128,
            },
            "method": {"type": "LoRA", "lora": {"dropout": 0}},
            "training": {"maxSteps": 6, "batchSize": 8, "learningRate": 0.01, "precision": "FP32", **training},
            "evaluation": {"generation": {"maxNewTokens": 4}, "evalSteps": 3},
            "output": {"uri": f"file://{tmp_path}/out"},
        }
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        loaded = load_job(str(tmp_path / "job.yaml"), [])
        return run_job(loaded.job, Site(Path(loaded.base)), uid, JsonObserver(StringIO()))

    return call


def losses(result: RunResult) -> list[float]:
    points = result.report.curves
    return [value for point in points for value in (point.loss, point.validation.get("evalLoss")) if value]


def test_packed_rows_are_learned_as_padded_ones_are(run: Run) -> None:
    padded, packed = run("padded"), run("packed", packing="Always")
    assert len(losses(padded)) >= 4
    assert losses(packed) == pytest.approx(losses(padded), rel=1e-4)
    assert padded.report.hardware["batches"] == "rows of like length"
    assert packed.report.hardware["batches"] == "packed rows"
    assert padded.report.throughput["paddingRatio"] > 0
    assert packed.report.throughput["paddingRatio"] == 0


def test_few_rows_in_a_pass_change_nothing(run: Run) -> None:
    whole, cut = run("whole", packing="Always"), run("cut", packing="Always", perDeviceBatchSize=3)
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-4)


def test_eager_attention_learns_the_same(run: Run) -> None:
    sdpa, eager = run("sdpa", attnImplementation="SDPA"), run("eager", attnImplementation="Eager")
    assert (sdpa.report.hardware["attention"], eager.report.hardware["attention"]) == ("sdpa", "eager")
    assert losses(eager) == pytest.approx(losses(sdpa), rel=1e-3)


@pytest.mark.causes("ModelUnsuitable")
def test_an_architecture_that_sees_across_rows_is_refused(run: Run, tmp_path: Path) -> None:
    bloom = tmp_path / "bloom"
    BloomForCausalLM(BloomConfig(vocab_size=512, hidden_size=16, n_layer=1, n_head=2)).save_pretrained(bloom)
    for file in STORIES.glob("*token*"):
        (bloom / file.name).write_bytes(file.read_bytes())
    refused = run("bloom", bloom, packing="Always").failure
    assert isinstance(refused, ModelUnsuitable)
    assert refused.problems[0].where == "spec.training.packing"
    assert "BloomForCausalLM has an attention of its own" in str(refused)
    assert run("auto", bloom).report.hardware["batches"] == "rows of like length"


@pytest.mark.causes("SpecInvalid")
def test_flash_attention_without_a_gpu_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused = run("flash", attnImplementation="FlashAttention2", precision="Auto").failure
    assert isinstance(refused, SpecInvalid)
    assert refused.problems[0].where == "spec.training.attnImplementation"
    assert "FlashAttention2 needs a GPU" in str(refused)
