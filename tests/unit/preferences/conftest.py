"""Fixtures of the tasks on pairs of answers: jobs, rows, and real answers with a preference that can be learned."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.report import Report
from finetune_trainer.cli.app import main

ROOT = Path(__file__).parents[3]
STORIES = ROOT / "tests" / "models" / "stories260k"
PAIRS = ROOT / "examples" / "data" / "preferences.jsonl"


@pytest.fixture(scope="session")
def brief_pairs() -> list[dict[str, Any]]:
    """Problems with the bare result preferred over the worked answer: a taste that a tiny model can learn."""
    rows = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    short = [row for row in rows if len(row["prompt"]) < 160 and len(row["chosen"]) < 160]
    return [
        {"prompt": row["prompt"], "chosen": row["chosen"].splitlines()[-1], "rejected": row["chosen"]} for row in short
    ]


@pytest.fixture
def write_job(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a job and returns its file."""

    def write(task: str, method: str | dict[str, Any] = "Full", *, model: Path = STORIES, **blocks: Any) -> Path:
        spec: dict[str, Any] = {
            "task": task,
            "model": {"uri": model.as_uri()},
            "method": {"type": method} if isinstance(method, str) else method,
            "output": {"uri": f"file://{tmp_path}/out"},
            **blocks,
        }
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        return tmp_path / "job.yaml"

    return write


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that calls `finetune-trainer` and returns what it said, also where it fails as `code` says."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["finetune-trainer", *arguments])
        capfd.readouterr()
        try:
            main()
            ended = 0
        except SystemExit as end:
            ended = int(end.code or 0)
        out, err = capfd.readouterr()
        assert ended == code, out + err
        return out + err

    return call


@pytest.fixture
def run(write_job: Callable[..., Path], command: Callable[..., str], tmp_path: Path) -> Callable[..., Any]:
    """A function that runs a job and returns its report and output folder."""

    def call(*arguments: Any, **blocks: Any) -> tuple[Report, Path]:
        command("run", str(write_job(*arguments, **blocks)), "--uid", "one")
        folder = tmp_path / "out" / "job" / "one"
        return Report.model_validate_json((folder / "report" / "report.json").read_text()), folder

    return call


@pytest.fixture
def predict(command: Callable[..., str], tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """A function from a model and rows to predictions."""

    def call(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        given, found = tmp_path / "given.jsonl", tmp_path / "found.jsonl"
        given.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command("predict", str(folder), str(given), "--output", str(found))
        return [json.loads(line) for line in found.read_text().splitlines()]

    return call
