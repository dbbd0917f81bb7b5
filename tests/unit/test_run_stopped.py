"""Real processes that are stopped, killed, or starved of memory in the middle of a run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_api.outcome import Outcome
from finetune_api.report import Report

PROGRAM = [sys.executable, "-m", "finetune_trainer"]
# Ends of address space are set once all is imported: torch alone maps more than any job of these tests needs.
STARVED = """
import resource, sys
import finetune_trainer.run, transformers.models.bert.modeling_bert
from finetune_trainer.cli.app import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20),) * 2)
sys.argv = ["finetune-trainer", *sys.argv[1:]]
main()
"""


@pytest.fixture
def _signals_as_on_a_terminal() -> Iterator[None]:
    """A shell starts background processes with SIGINT ignored, and their children inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def running(job: Callable[..., str], _signals_as_on_a_terminal: None) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, in the middle of its training."""
    path = job(
        training={"epochs": 10_000, "earlyStopping": {"patience": 0}},
        evaluation={"evalSteps": 10_000},
        checkpoints={"saveSteps": 1_000_000},
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*PROGRAM, "run", path, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["step"] >= 3:
            break
    yield process
    process.kill()
    process.communicate()


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_a_checkpoint_and_its_report(
    number: int, running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (85, "")
    (folder,) = (tmp_path / "out/tiny").iterdir()
    files = files_of(folder)
    checkpoints = {path for path in files if path.startswith("checkpoints/1/")}
    assert any(path.endswith("/MANIFEST.json") for path in checkpoints)
    assert files - checkpoints == {"claims/1", "report/report.json", "report/index.html"}
    report = Report.model_validate_json((folder / "report/report.json").read_text())
    assert report.outcome is Outcome.STOPPED
    assert report.data is not None
    assert report.resolved is not None


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_that_looks_finished(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.kill()
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "out/tiny").iterdir()
    assert files_of(folder) == {"claims/1"}
    refused = subprocess.run([*PROGRAM, "predict", folder, "-"], capture_output=True, text=True, check=False, input="a")
    assert refused.returncode == 66
    assert "not finished" in refused.stderr


@pytest.mark.slow
@pytest.mark.causes("OutOfMemory")
@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_memory_runs_out(job: Callable[..., str], data: Path, tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    long = " ".join(["printer"] * 30_000)
    data.write_text(data.read_text() + f"{long},praise\n")
    model = tiny_model("bert", max_position_embeddings=32_768, attention_probs_dropout_prob=0.1)
    tokenizer = json.loads((model / "tokenizer_config.json").read_text())
    assert tokenizer.get("model_max_length", 10**30) > 32_768
    split: dict[str, Any] = {"split": {"validation": 0, "test": 0}, "maxLength": 32_768}
    path = job(model=model.as_uri(), data=split, evaluation={"baseline": False})
    ended = subprocess.run(
        [sys.executable, "-c", STARVED, "run", path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 71, ended.stderr
    assert "OutOfMemory (exit code 71)" in ended.stderr
    assert "spec.data.maxLength" in ended.stderr
    assert "Traceback" not in ended.stderr
    (folder,) = (tmp_path / "out/tiny").iterdir()
    assert files_of(folder) == {"claims/1", "report/report.json", "report/index.html"}
