"""`finetune-trainer predict`: every way in and every way out."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
TEXTS = ["The printer broke on the first day", "Dinner by the sea was a joy"]


@pytest.fixture
def folder(job: Callable[..., str], cli: Cli) -> Path:
    """The output of a run."""
    ended = cli("run", job(training={"maxSteps": 3}, evaluation={"baseline": False}), "--json")
    assert ended.code == 0, ended.err
    return Path(ended.folder)


def written(tmp_path: Path) -> dict[str, Path]:
    """The same texts in every format."""
    import pyarrow as pa
    from pyarrow import parquet

    records = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
    contents = {
        "new.csv": "id,text\n" + "".join(f"{r['id']},{r['text']}\n" for r in records),
        "new.jsonl": "".join(json.dumps(record) + "\n" for record in records),
        "new.json": json.dumps(records),
        "with space.csv": "text\n" + "\n".join(TEXTS),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress(contents["new.csv"].encode()))
    parquet.write_table(pa.Table.from_pylist(records), tmp_path / "new.parquet")
    return {name: tmp_path / name for name in [*contents, "new.csv.gz", "new.parquet"]}


def test_every_input_gives_the_same(folder: Path, cli: Cli, tmp_path: Path) -> None:
    found = {name: cli("predict", folder, path) for name, path in written(tmp_path).items()}
    found["plain lines"] = cli("predict", folder, "-", stdin="\n".join(TEXTS).encode())
    found["piped jsonl"] = cli("predict", folder, "-", stdin=(tmp_path / "new.jsonl").read_bytes())
    found["piped csv"] = cli("predict", folder, "-", stdin=(tmp_path / "new.csv").read_bytes())
    found["by address"] = cli("predict", folder.as_uri(), (tmp_path / "new.csv").as_uri())
    found["its model folder"] = cli("predict", folder / "model", tmp_path / "new.csv")
    found["a copy elsewhere"] = cli("predict", shutil.copytree(folder, tmp_path / "a b"), tmp_path / "new.csv")
    for name, ended in found.items():
        assert (ended.code, ended.err) == (0, ""), name
        assert ended.out == found["new.csv"].out, name
    events = found["new.csv"].events
    assert [event["text"] for event in events] == TEXTS
    for event in events:
        assert event["scores"][event["label"]] == event["score"] == max(event["scores"].values())
        assert sum(event["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_relative_paths(folder: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("text\na\n")
    assert len(cli("predict", folder.relative_to(tmp_path), "new.csv").events) == 1


def test_formats(folder: Path, cli: Cli, tmp_path: Path) -> None:
    stdin = "\n".join(["Dinner was a joy, \N{HOT BEVERAGE} really", *TEXTS]).encode()
    lines = cli("predict", folder, "-", "-f", "jsonl", stdin=stdin)
    table = cli("predict", folder, "-", "--format", "table", stdin=stdin)
    assert table.code == 0
    assert [head in table.out for head in ("text", "label", "score", "next")] == [True] * 4
    assert "\x1b" not in table.out
    as_csv = cli("predict", folder, "-", "-f", "csv", stdin=stdin)
    rows = list(csv.DictReader(StringIO(as_csv.out)))
    assert [(row["text"], row["label"]) for row in rows] == [(e["text"], e["label"]) for e in lines.events]
    assert float(rows[0]["score.praise"]) == pytest.approx(lines.events[0]["scores"]["praise"], abs=1e-6)
    for name, expected in {"p.csv": as_csv.out, "p.jsonl": lines.out, "p.txt": lines.out}.items():
        ended = cli("predict", folder, "-", "-o", tmp_path / name, stdin=stdin)
        assert (ended.code, ended.out) == (0, "")
        assert (tmp_path / name).read_text("utf-8") == expected
    assert cli("predict", folder, "-", "-o", "/dev/null", stdin=stdin).code == 0
    assert Path("/dev/null").is_char_device()


def test_an_output_that_can_not_be_written(folder: Path, cli: Cli, tmp_path: Path) -> None:
    ended = cli("predict", folder, "-", "-o", tmp_path / "nowhere/p.csv", stdin=b"a text")
    assert (ended.code, ended.err.splitlines()[0]) == (73, "OutputNotWritable (exit code 73)")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    ended = cli("predict", folder, tmp_path / "bad.jsonl", "-o", tmp_path / "p.jsonl")
    assert ended.code == 65
    assert "bad.jsonl:2" in ended.err
    assert not list(tmp_path.glob("p.jsonl*")), "no half a file"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"text\n", b"[]"])
def test_no_rows(content: bytes, folder: Path, cli: Cli) -> None:
    ended = cli("predict", folder, "-", stdin=content)
    assert (ended.code, ended.out) == (65, "")
    assert "DataEmpty" in ended.err
    assert "standard input: there is no row to predict" in ended.err


def test_a_column_of_another_name(folder: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("id,review\n1,Dinner was a joy\n")
    ended = cli("predict", folder, tmp_path / "new.csv")
    assert (ended.code, ended.out) == (65, "")
    assert "no column 'text', which the model was trained on; there are: id, review" in ended.err
    assert "--text review" in ended.err
    assert cli("predict", folder, tmp_path / "new.csv", "--text", "review").events[0]["text"] == "Dinner was a joy"


def test_what_is_no_model(folder: Path, cli: Cli, tmp_path: Path, tiny_model: Callable[..., Path]) -> None:
    (folder / "MANIFEST.json").rename(folder / "kept")
    cases = {
        tmp_path / "nowhere": "output folder of a run",
        tiny_model("bert"): "output folder of a run",
        folder: "not finished",
    }
    for place, words in cases.items():
        ended = cli("predict", place, "-", stdin=b"a")
        assert (ended.code, ended.err.splitlines()[0]) == (66, "ModelNotFound (exit code 66)")
        assert words in ended.err
    (folder / "kept").rename(folder / "MANIFEST.json")
    ended = cli("predict", tmp_path / "out", "-", stdin=b"a")
    assert f"tiny/{folder.name}" in ended.err
    copy = shutil.copytree(folder / "model", tmp_path / "copied")  # without a manifest, which would tell
    (copy / "finetune.json").write_text('{"task": "Dancing"}')
    ended = cli("predict", copy, "-", stdin=b"a")
    assert (ended.code, "ModelUnsuitable" in ended.err, "finetune.json" in ended.err) == (64, True, True)


def test_wrong_arguments(cli: Cli, tmp_path: Path) -> None:
    assert cli("predict", tmp_path).code == 2
    ended = cli("predict", tmp_path, "-", "--format", "xml", stdin=b"a")
    assert (ended.code, "use one of table, jsonl, csv" in ended.err) == (64, True)
    ended = cli("predict", "ftp://host/model", "-", stdin=b"a")
    assert (ended.code, "ftp://host/model" in ended.err) == (64, True)


def test_odd_values(folder: Path, cli: Cli) -> None:
    rows = [{"text": 5}, {"text": "\u202eright to left \x1b[31m"}, {"text": "printer " * 500}]
    ended = cli("predict", folder, "-", stdin="".join(json.dumps(row) + "\n" for row in rows).encode())
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.events) == len(rows)


@pytest.mark.causes("DataUnreadable")
@pytest.mark.parametrize("cell", [None, "", " ", "half \ud800 of it", ["a", "list"], "a\0b"])
def test_a_cell_without_a_text(cell: Any, folder: Path, cli: Cli) -> None:
    lines = [json.dumps({"text": text}) for text in ("fine", cell)]
    ended = cli("predict", folder, "-", stdin="\n".join(lines).encode())
    assert (ended.code, ended.out) == (65, "")
    assert "stdin:2: text " in ended.err
    assert "each row of the input gets one prediction" in ended.err
