"""Help, version, colours and pipes; and that what needs no model imports no heavy library."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_trainer import __version__

Cli = Callable[..., Any]
PROGRAM = [sys.executable, "-m", "finetune_trainer"]
HEAVY = ("torch", "transformers", "numpy", "datasets", "peft", "sklearn", "scipy", "pandas", "pyarrow", "obstore")
BROKEN = Path(__file__).parents[1] / "data/broken_manifests/misspelt-field.yaml"
IMPORTED = """
import sys
from finetune_trainer.cli.app import main
sys.argv = ["finetune-trainer", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    heavy = {heavy!r}
    print(ended.code or 0, *[name for name in heavy if name in sys.modules], file=sys.__stderr__)
"""
OPTIONS = {
    (): ["--version", "run", "validate", "predict", "schema", "explain"],
    ("run",): ["JOB.yaml", "--set", "--output", "--json", "--debug"],
    ("validate",): ["JOB.yaml", "--set", "--spec-only", "--json", "--debug"],
    ("predict",): ["MODEL", "INPUT", "--format", "--output", "--text", "--text-pair", "--debug"],
    ("schema",): ["schema"],
    ("explain",): ["FIELD"],
}


@pytest.mark.parametrize("command", OPTIONS, ids=lambda command: " ".join(command) or "all")
def test_help(command: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for option in ("--help", "-h"):
        ended = cli(*command, option)
        assert (ended.code, ended.err) == (0, "")
        for word in OPTIONS[command]:
            assert word in ended.out
        assert "\x1b" not in ended.out
        assert "..." not in ended.out.replace("[ARGS]...", ""), "summaries fit their line"


def test_no_command_shows_help(cli: Cli) -> None:
    ended = cli()
    assert ended.code == 2
    assert "Usage: finetune-trainer" in ended.out + ended.err


def test_version(cli: Cli) -> None:
    ended = cli("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"finetune-trainer {__version__}\n", "")


def test_schema_and_explain(cli: Cli) -> None:
    schema = json.loads(cli("schema").out)
    assert schema["properties"]["kind"]["const"] == "FineTuneJob"
    assert "above 0" in cli("explain", "training.epochs").out
    ended = cli("explain", "training.epoch")
    assert (ended.code, ended.out) == (64, "")
    assert "did you mean" in ended.err


@pytest.mark.parametrize("arguments", [["train"], ["run"], ["run", "a", "b"], ["explain"]])
def test_usage_errors_exit_with_2(arguments: list[str], cli: Cli) -> None:
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: finetune-trainer" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--version"], 0), (["validate", str(BROKEN)], 64), (["run", str(BROKEN)], 64),
     (["explain", "spec"], 0), (["schema"], 0)],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_needs_no_model_is_quick(arguments: list[str], code: int) -> None:
    script = IMPORTED.format(heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].split() == [str(code)], "a heavy library was imported"


def test_validating_the_spec_alone_is_quick(job: Callable[..., str]) -> None:
    script = IMPORTED.format(heavy=HEAVY)
    arguments = ["validate", job(), "--spec-only"]
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1].split() == ["0"], "a heavy library was imported"


@pytest.mark.parametrize("command", [["schema"], ["explain", "spec"]])
def test_a_closed_pipe_is_no_error(command: list[str]) -> None:
    line = " ".join([*PROGRAM, *command])
    ended = subprocess.run(
        ["bash", "-c", f"{line} | head -n 1; {line} | true"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize(("settings", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(settings: dict[str, str], colored: bool) -> None:
    ours, theirs = pty.openpty()
    environment = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm-256color", **settings}
    with subprocess.Popen([*PROGRAM, "validate", BROKEN], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while b"learningRate?" not in shown:
            shown += os.read(ours, 4096)
        process.wait()
    os.close(ours)
    assert (b"\x1b[31m" in shown) == colored
    assert re.search(rb"SpecInvalid.*exit code 64", shown)
