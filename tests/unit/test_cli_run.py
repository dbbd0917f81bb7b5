"""`finetune-trainer run` as it looks: plain lines, JSON lines, a terminal, and readers that go away."""

import errno
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.outcome import Outcome
from finetune_trainer.manifest import load_job

Job = Callable[..., str]
Cli = Callable[..., Any]
PROGRAM = [sys.executable, "-m", "finetune_trainer"]
GATES = [{"metric": "accuracy", "min": 0.01}, {"metric": "matthews", "min": 1}, {"metric": "matthews", "max": 0.9}]


def test_plain_lines(job: Job, cli: Cli, tmp_path: Path) -> None:
    ended = cli("run", job(evaluation={"gates": GATES[:2]}, training={"maxSteps": 6}))
    assert (ended.code, ended.out) == (86, "")
    lines = ended.err.splitlines()
    phases = [line for line in lines if line.startswith("[")]
    assert phases == ["[Validating]", "[Starting]", "[Evaluating]", "[Training]", "[Evaluating]", "[Exporting]"]
    assert "\x1b" not in ended.err
    known = (
        r"\[|checkpoint step \d+ \(|reading|looking|data: |warning: |model: |training: |validation at step|step \d+/6"
        r"|GateFailed: |  "
    )
    assert [line for line in lines if not re.match(known, line)] == [], "every line is ours"
    (folder,) = (tmp_path / "out/tiny").iterdir()
    summary = lines[[line.startswith("GateFailed: the gate on matthews was missed") for line in lines].index(True) :]
    assert any(re.fullmatch(r"  accuracy \(test\): \d\.\d{4} -> \d\.\d{4}", line) for line in summary)
    assert any(line.startswith("  gate matthews min 1: MISSED (") for line in summary)
    assert f"  model:  {folder}/model" in summary
    assert f"  report: {folder}/report/index.html" in summary
    assert f'  try it: echo "your text" | finetune-trainer predict {folder} -' in summary


def test_a_failure_names_its_report(job: Job, cli: Cli) -> None:
    ended = cli("run", job(model="file://./nowhere"))
    assert ended.code == 66
    assert "Failed in " in ended.err
    assert "ModelNotFound (exit code 66)" in ended.err
    report = Path(ended.err.splitlines()[-1].removeprefix("  report: "))
    assert report.is_file()
    assert cli("run", job(model="file://./nowhere"), "--debug").err.count("Traceback") == 1


def test_json_lines(job: Job, cli: Cli) -> None:
    ended = cli("run", job(training={"maxSteps": 2}), "--json")
    assert (ended.code, ended.err) == (0, "")
    kinds = [event["event"] for event in ended.events]
    assert kinds[:2] == ["claim", "phase"]
    assert kinds[-1] == "result"
    assert {"phase", "message", "data", "model", "progress", "evaluation", "result"} <= set(kinds)
    assert ended.report.outcome is Outcome.SUCCEEDED


def test_a_bad_manifest_in_json(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kind: FineTuneJob\n")
    ended = cli("run", tmp_path / "job.yaml", "--json")
    assert (ended.code, ended.err) == (64, "")
    assert [event["event"] for event in ended.events] == ["failure"]


def test_output_and_overrides(job: Job, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = job()
    ended = cli("run", path, "--set", "training.maxSteps=1", "--output", "my runs", "--json")
    assert ended.code == 0, ended.err
    (folder,) = (tmp_path / "elsewhere/my runs/tiny").iterdir()
    assert (folder / "MANIFEST.json").is_file()
    assert ended.report.spec["training"]["maxSteps"] == 1
    assert load_job(path).job.spec.training.max_steps == 0
    ended = cli("run", "-", "--set", "training.maxSteps=1", "-o", tmp_path / "third", stdin=Path(path).read_bytes())
    assert ended.code == 66, "relative paths start from the current folder when the job is piped in"
    assert "elsewhere/rows.csv" in ended.err


@pytest.mark.slow
def test_on_a_terminal(job: Job, tmp_path: Path) -> None:
    path = job(evaluation={"gates": GATES, "baseline": True}, training={"maxSteps": 8}, compute={"profile": "gpu"})
    ours, theirs = pty.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen([*PROGRAM, "run", path], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = read_all(ours)
    assert process.wait() == 86
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "\n")
    assert "\x1b[" in shown
    for phase in ("Validating", "Starting", "Training", "Evaluating", "Exporting"):
        assert f"● {phase}" in plain
    assert plain.count("! Only a cluster looks at compute.profile") == 1
    assert re.search(r"training ━+.* 8/8 loss \d\.\d{3}", plain)
    assert re.search(r"│ accuracy +│ +\d\.\d{4} │ \d\.\d{4} │ +min 0\.01 ✓", plain)
    assert re.search(r"│ matthews .*min 1 ✗, max 0\.9 ✓", plain)
    assert "GateFailed: the gate on matthews was missed" in plain
    (folder,) = (tmp_path / "out/tiny").iterdir()
    assert f"report  {folder}/report/index.html" in plain
    for noise in ("Warning", "warn(", "it/s]", "Traceback"):
        assert noise not in plain


def read_all(descriptor: int) -> str:
    """Read a terminal to its end, which Linux reports as an input/output error."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError as error:
            assert error.errno == errno.EIO  # noqa: PT017 -- anything else is a failure
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode()
        parts.append(part)


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_the_run(job: Job, tmp_path: Path) -> None:
    command = f"{sys.executable} -m finetune_trainer run {job(training={'maxSteps': 3})} --json"
    script = f"set -o pipefail; {command} | head -n 1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1
    (folder,) = (tmp_path / "out/tiny").iterdir()
    assert (folder / "MANIFEST.json").is_file(), "losing sight of a run does not end it"
