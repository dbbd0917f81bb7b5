"""Broken data through the command line: the right exit code, where it is, and what to do about it."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "data" / "broken_data"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))


def check_message(ended: Any, code: str, exit_code: int, where: str, word: str) -> None:
    assert ended.code == exit_code, ended.err
    headline, first, *rest = ended.err.splitlines()
    assert headline.startswith(f"{code} (exit code {exit_code}")
    assert where in first
    assert word in ended.err
    assert any(line.startswith("    → ") for line in rest), "a message without a remedy"
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_every_file_is_expected() -> None:
    assert {path.name for path in FOLDER.iterdir()} - {"expected.toml"} == {*EXPECTED["broken"], *EXPECTED["handled"]}


@pytest.mark.parametrize("name", EXPECTED["broken"])
def test_broken_data_is_explained(name: str, job: Callable[..., str], cli: Callable[..., Any]) -> None:
    expected = EXPECTED["broken"][name]
    blocks: dict[str, Any] = {expected.get("place", "train"): [{"uri": (FOLDER / name).as_uri()}]}
    if "labels" in expected:
        blocks["labels"] = {"problemType": expected["labels"]}
    ended = cli("validate", job(data=blocks))
    check_message(ended, expected["code"], expected["exit"], expected["where"], expected["word"])


@pytest.mark.parametrize("name", EXPECTED["handled"])
def test_odd_data_is_read(name: str, job: Callable[..., str], cli: Callable[..., Any]) -> None:
    ended = cli("validate", job(data={"train": [{"uri": (FOLDER / name).as_uri()}]}))
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere/rows.csv", "empty-folder", "rows.csv/rows.csv"])
def test_missing_data_is_explained(name: str, job: Callable[..., str], cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty-folder").mkdir()
    ended = cli("validate", job(data={"train": [{"uri": f"file://./{name}"}]}))
    check_message(ended, "DataNotFound", 66, name, "")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"columns": {"text": "texts"}}, "spec.data.columns.text"),
        ({"columns": {"textPair": "second"}}, "spec.data.columns.textPair"),
        ({"columns": {"label": "text"}}, "spec.data"),
        ({"train": [{"uri": "file://./rows.csv", "delimiter": ";"}]}, "spec.data.columns.text"),
        ({"train": [{"uri": "file://./rows.csv", "format": "JSONL"}]}, "rows.csv:1"),
        ({"train": [{"uri": "file://./rows.csv", "format": "Parquet"}]}, "rows.csv"),
        ({"labels": {"problemType": "Regression"}}, "spec.data.train"),
        ({"labels": {"names": ["praise", "neither"]}}, "spec.data.train"),
    ],
)
def test_settings_that_do_not_fit_the_data(
    fields: dict[str, Any], where: str, job: Callable[..., str], cli: Callable[..., Any]
) -> None:
    check_message(ended := cli("validate", job(data=fields)), ended.err.split()[0], 65, where, "→")
