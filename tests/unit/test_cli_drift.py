"""`finetune-trainer drift`: a run saves what its inputs were like, and new rows are compared with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tuned(job: Callable[..., str], cli: Callable[..., Any]) -> Path:
    """A finished run."""
    ended = cli("run", job(training={"epochs": 2}), "--json")
    assert ended.code == 0, ended.err
    folder: Path = ended.folder
    return folder


def test_the_same_rows_are_no_drift_and_others_are(tuned: Path, cli: Callable[..., Any], data: Path) -> None:
    same = cli("drift", tuned, data)
    assert same.code == 0, same.err
    assert "drift None" in same.out
    assert "216 rows against" in same.out
    others = data.with_name("others.jsonl")
    others.write_text("".join(json.dumps({"text": f"Новости дня номер {n}: 今天 7 % 😀"}) + "\n" for n in range(50)))
    ended = cli("drift", tuned / "model", others, "--json", "--fail-above", "0.1")
    assert ended.code == 87, ended.err
    report = json.loads(ended.out)
    assert report["drift"] == "Strong"
    shifts = {shift["name"]: shift for shift in report["shifts"]}
    assert set(shifts) == {"characters", "tokens", "unknown", "scripts", "vocabulary", "answers", "confidence"}
    assert shifts["unknown"]["drift"] == "Strong"
    assert cli("drift", tuned, others).code == 0, "an answer is no failure unless asked for"
    assert cli("drift", tuned, data, "--fail-above", "0.1").code == 0


def test_columns_can_be_named_and_broken_rows_are_left_out(tuned: Path, cli: Callable[..., Any], data: Path) -> None:
    lines = data.read_text().splitlines()
    data.write_text("\n".join(["body,verdict", *lines[1:], ",praise"]) + "\n")
    ended = cli("drift", tuned, data, "--column", "text=body", "--column", "label=verdict", "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)
    assert report["rows"] == 216
    assert "labels" in {shift["name"] for shift in report["shifts"]}


@pytest.mark.causes("DataEmpty")
def test_a_file_without_usable_rows_is_told(tuned: Path, cli: Callable[..., Any], data: Path) -> None:
    data.write_text("body\nsomething\n")
    ended = cli("drift", tuned, data)
    assert ended.code == 65
    assert "--column ROLE=COLUMN" in ended.err


@pytest.mark.causes("ModelNotFound")
def test_a_model_without_statistics_is_told(tuned: Path, cli: Callable[..., Any], data: Path) -> None:
    (tuned / "MANIFEST.json").unlink()
    (tuned / "model" / "drift.json").unlink()
    ended = cli("drift", tuned / "model", data)
    assert ended.code == 66
    assert "drift.json" in ended.err
    assert "train it again" in ended.err


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize("command", ["predict", "drift"])
@pytest.mark.parametrize(
    ("options", "rows", "where", "hint"),
    [
        (["--split", "test"], "rows.csv", "--split", "use an hf:// uri"),
        (["--subset", "a", "--revision", "b"], "-", "--subset", "use an hf:// uri"),
        (["--quoting", "Triple"], "rows.csv", "--quoting", "DoubleQuote, Backslash, SingleQuote, None"),
    ],
)
def test_settings_that_the_input_cant_have(
    command: str, options: list[str], rows: str, where: str, hint: str, cli: Callable[..., Any]
) -> None:
    ended = cli(command, "nowhere", rows, *options)
    assert ended.code == 64, ended.err
    assert where in ended.err
    assert hint in ended.err


def test_both_commands_read_quotes_as_they_are_told(tuned: Path, cli: Callable[..., Any], data: Path) -> None:
    lines = data.read_text().splitlines()
    data.write_text("\n".join([lines[0], "'The printer, is fine',neither", *lines[2:]]) + "\n")
    assert cli("predict", tuned, data).code == 65
    ended = cli("predict", tuned, data, "--quoting", "singlequote")
    assert ended.code == 0, ended.err
    assert ended.events[0]["text"] == "The printer, is fine"
    assert "216 rows against" in cli("drift", tuned, data, "--quoting", "SingleQuote").out
    assert "215 rows against" in cli("drift", tuned, data).out
