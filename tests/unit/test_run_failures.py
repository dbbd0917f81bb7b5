"""Runs that fail: each ends as its class, leaves a report of what happened, and nothing that looks finished."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import cuda

from finetune_api.failures import InternalError, OutOfMemory, OutputNotWritable
from finetune_api.outcome import Outcome
from finetune_api.report import Report
from finetune_trainer.cli.json_progress import JsonObserver
from finetune_trainer.manifest import load_job
from finetune_trainer.run import run_job
from finetune_trainer.storage import Site
from finetune_trainer.unexpected import as_failure

Job = Callable[..., str]
Cli = Callable[..., Any]


def check_failed(ended: Any, code: str, exit_code: int, where: str = "") -> Report:
    """Check exit code, events and folder of a run that failed; return its report."""
    assert ended.code == exit_code, ended.err
    assert "Traceback" not in ended.err
    failure = ended.events[-1]
    assert (failure["event"], failure["code"], failure["exitCode"]) == ("failure", code, exit_code)
    problem = failure["problems"][0]
    assert where in problem["where"]
    assert problem["hint"], "a failure without a remedy"
    assert {path.relative_to(ended.folder).as_posix() for path in ended.folder.rglob("*") if path.is_file()} == {
        "claims/1",
        "report/report.json",
        "report/index.html",
    }
    report = Report.model_validate_json((ended.folder / "report/report.json").read_text())
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert (report.failure.code, report.failure.message.split(": ")[-1][:20]) == (
        code,
        problem["message"].split(": ")[-1][:20],
    )
    assert code in (ended.folder / "report/index.html").read_text()
    return report


@pytest.fixture
def model(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


@pytest.mark.causes("ModelNotFound")
def test_no_model(job: Job, cli: Cli) -> None:
    ended = cli("run", job(model="file://./nowhere"), "--json")
    report = check_failed(ended, "ModelNotFound", 66, "spec.model.uri")
    assert report.data is None, "no row is read for a model that is not there"


@pytest.mark.causes("ModelNotFound")
def test_a_model_without_weights(job: Job, cli: Cli, model: Path) -> None:
    (model / "model.safetensors").unlink()
    check_failed(cli("run", job(model=model.as_uri()), "--json"), "ModelNotFound", 66, "spec.model.uri")


@pytest.mark.causes("UnsafeModel")
def test_pickled_weights(job: Job, cli: Cli, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    check_failed(cli("run", job(model=model.as_uri()), "--json"), "UnsafeModel", 77)


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize(
    "breakage",
    ["truncated weights", "no json", "of another kind", "odd heads", "another size", "no tokenizer"],
)
def test_a_broken_model(breakage: str, job: Job, cli: Cli, model: Path) -> None:
    config, weights = model / "config.json", model / "model.safetensors"
    settings = json.loads(config.read_text())
    if breakage == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif breakage == "no json":
        config.write_text("{hidden_size: 32")
    elif breakage == "no tokenizer":
        (model / "tokenizer.json").unlink()
    else:
        changed = {"of another kind": {"model_type": "weather"}, "odd heads": {"num_attention_heads": 5}}
        config.write_text(json.dumps(settings | changed.get(breakage, {"hidden_size": 48})))
    check_failed(cli("run", job(model=model.as_uri()), "--json"), "ModelUnsuitable", 64)


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize(
    ("blocks", "where"),
    [
        ({"data": {"maxLength": 4096}}, "spec.data.maxLength"),
        ({"method": {"type": "LoRA", "lora": {"targetModules": ["q_proj"]}}}, "spec.method.lora.targetModules"),
    ],
)
def test_a_model_that_can_not_do_it(blocks: dict[str, Any], where: str, job: Job, cli: Cli) -> None:
    check_failed(cli("run", job(**blocks), "--json"), "ModelUnsuitable", 64, where)


@pytest.mark.causes("SpecInvalid")
def test_half_precision_without_a_gpu(job: Job, cli: Cli) -> None:
    if cuda.is_available():
        pytest.skip("this machine has a GPU, so FP16 is fine")
    check_failed(cli("run", job(training={"precision": "FP16"}), "--json"), "SpecInvalid", 64, "training.precision")


@pytest.mark.causes("SpecInvalid")
def test_a_gate_that_does_not_fit_the_labels_that_were_found(job: Job, cli: Cli) -> None:
    gates = [{"metric": "accuracy", "min": 0.1}, {"metric": "recall.prise", "min": 0.1}]
    ended = cli("run", job(evaluation={"gates": gates}), "--json")
    check_failed(ended, "SpecInvalid", 64, "spec.evaluation.gates[1].metric")
    assert "recall.praise" in ended.events[-1]["problems"][0]["hint"]
    ended = cli("validate", job(evaluation={"gates": [{"metric": "r2", "min": 0.1}]}))
    assert (ended.code, "spec.evaluation.gates[0].metric" in ended.err) == (64, True)


@pytest.mark.causes("DataEmpty")
def test_no_rows(job: Job, data: Path, cli: Cli) -> None:
    data.write_text("text,label\n")
    report = check_failed(cli("run", job(), "--json"), "DataEmpty", 65)
    assert (report.data, report.curves, report.evaluation.metrics) == (None, [], {})


@pytest.mark.causes("LossDiverged")
def test_a_loss_that_explodes(job: Job, data: Path, cli: Cli) -> None:
    lines = data.read_text().replace("praise", "1e30").replace("complaint", "-1e30").replace("neither", "0.5")
    data.write_text(lines)
    check_failed(cli("run", job(), "--json"), "LossDiverged", 72)


@pytest.mark.causes("OutputNotWritable")
@pytest.mark.parametrize("place", ["a file in the way", "/proc/nowhere", "/dev/full"])
def test_an_output_that_can_not_be_written(place: str, job: Job, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    uri = "file://./file" if place == "a file in the way" else f"file://{place}"
    ended = cli("run", job(output={"uri": uri}))
    assert ended.code == 73, ended.err
    assert "OutputNotWritable (exit code 73)" in ended.err
    assert "→" in ended.err
    assert "Traceback" not in ended.err
    assert "[Starting]" not in ended.err, "it is found out before anything is trained"
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.causes("OutputExists")
def test_a_finished_run_stands(job: Job, cli: Cli, tmp_path: Path) -> None:
    """The same job again ends at once with the same result; another one must not touch it."""
    path = Path(job(training={"maxSteps": 1}))
    path.write_text(path.read_text().replace("name: tiny", "name: tiny\n  uid: one"))
    first = cli("run", path, "--json")
    assert first.code == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    again = cli("run", path, "--json")
    assert (again.code, [event["event"] for event in again.events]) == (0, ["message", "result"])
    assert again.report.evaluation == first.report.evaluation
    ended = cli("run", path, "--set", "training.maxSteps=2")
    assert (ended.code, "OutputExists" in ended.err) == (73, True)
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before


class Clumsy(JsonObserver):
    """An observer with a defect."""

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        raise LookupError(f"no panel for step {step}, {len(metrics)} metrics, {is_best}")


@pytest.mark.causes("InternalError")
def test_a_defect_is_told_as_one(job: Job, tmp_path: Path) -> None:
    loaded = load_job(job())
    result = run_job(loaded.job, Site(loaded.base), "one", Clumsy())
    assert isinstance(result.failure, InternalError)
    assert int(result.failure.exit_code) == 70
    problem = result.failure.problems[0]
    assert problem.message.startswith("LookupError: no panel for step ")
    assert problem.where.startswith("finetune_trainer/training/loop.py:")
    assert "--debug" in problem.hint
    assert isinstance(result.failure.__cause__, LookupError)
    report = Report.model_validate_json((tmp_path / "out/tiny/one/report/report.json").read_text())
    assert (report.outcome, report.failure and report.failure.code) == (Outcome.FAILED, "InternalError")
    assert not (tmp_path / "out/tiny/one/MANIFEST.json").exists()


def test_what_nobody_translated_is_understood() -> None:
    full = as_failure(OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))  # noqa: S108 -- only a name
    assert isinstance(full, OutputNotWritable)
    assert "TMPDIR" in full.problems[0].hint
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")):
        assert isinstance(as_failure(error), OutOfMemory)
    assert isinstance(as_failure(ValueError("")), InternalError)
    known = OutOfMemory("x")
    assert as_failure(known) is known
