"""Inputs of `predict` and `drift`: formats, encodings and delimiters, given or as in training, and hints that help."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finetune_api.data import DataFormat, DataSource, Quoting
from finetune_api.failures import DataUnreadable, JobFailure
from finetune_api.inference import FileSettings
from finetune_trainer.data.reading.input_files import InputFile, read_input
from finetune_trainer.data.reading.rows import Row
from finetune_trainer.storage import Site

Read = Callable[..., list[Any]]
CONTENT = "id;text\n1;plain\n2;café crème\n3;again\n"
TEXTS = ["plain", "café crème", "again"]


@pytest.fixture(params=["file", "stdin"])
def texts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """A function that writes or pipes bytes, and reads their texts."""

    def read(content: bytes, name: str = "x.csv", column: str = "text", **settings: Any) -> list[Any]:
        (tmp_path / name).write_bytes(content)
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        uri = "-" if request.param == "stdin" else f"file://./{name}"
        rows = read_input(InputFile(uri, **settings), Site(tmp_path), column)
        return [row.values.get(column, row.values) if isinstance(row, Row) else row for row in rows]

    return read


def trained(**fields: Any) -> FileSettings:
    return FileSettings.of([DataSource(uri="file://./t.csv", **fields)] * 2)


def test_an_encoding_that_is_given(texts: Read) -> None:
    assert texts(CONTENT.encode("windows-1252"), encoding="windows-1252") == TEXTS


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16-le", "shift_jis"])
def test_the_encoding_of_training_where_it_is_not_utf_8(encoding: str, texts: Read) -> None:
    words = {"shift_jis": "日本語"}.get(encoding, "café crème")
    content = CONTENT.replace("café crème", words)
    expected = [words if text == "café crème" else text for text in TEXTS]
    assert texts(content.encode(encoding), trained=trained(encoding=encoding)) == expected
    assert texts(content.encode(), trained=trained(encoding=encoding)) == expected, "UTF-8 stays UTF-8"


def test_delimiters(texts: Read) -> None:
    content = CONTENT.replace(";", "~").encode()
    assert texts(content, delimiter="~") == TEXTS
    assert texts(content, trained=trained(delimiter="~"), format="CSV") == TEXTS
    assert texts(CONTENT.encode(), trained=trained(delimiter="~"), format="CSV") == TEXTS, "found from the header"


def test_one_text_per_line_whatever_it_looks_like(texts: Read) -> None:
    lines = ['{"a"} is a set', "text,more", "", "[1]"]
    assert texts("\n".join(lines).encode(), "x.txt", format="Lines") == [line for line in lines if line]


def test_the_format_of_training_where_the_ending_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.data").write_text("in O\nRio B-loc\n")
    file = InputFile("file://./x.data", trained=trained(format=DataFormat.CONLL))
    (row,) = read_input(file, Site(tmp_path), "text")
    assert isinstance(row, Row)
    assert row.values["tokens"] == ["in", "Rio"]


def test_files_that_differ_have_nothing_in_common() -> None:
    sources = [DataSource(uri="file://./a.csv", encoding="utf-16", delimiter=";"), DataSource(uri="file://./b.csv")]
    assert FileSettings.of(sources) == FileSettings()


@pytest.mark.causes("DataUnreadable")
def test_hints_name_options(texts: Read) -> None:
    with pytest.raises(DataUnreadable) as failure:
        texts(CONTENT.encode("windows-1252"))
    assert failure.value.problems[0].hint.startswith(
        "save the file as UTF-8, or give --encoding windows-1252 (it would"
    )
    with pytest.raises(JobFailure) as failure:
        texts(CONTENT.encode(), encoding="nonsense")
    assert failure.value.problems[0].where == "--encoding"


def test_hints_of_a_file_without_a_format(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello\n")
    with pytest.raises(DataUnreadable) as failure:
        list(read_input(InputFile("file://./x.txt"), Site(tmp_path), "text"))
    wanted = "give --input-format CSV, JSONL, JSON, Parquet, CoNLL, or Lines for one text per line"
    assert failure.value.problems[0].hint == wanted
    with pytest.raises(DataUnreadable) as failure:
        list(read_input(InputFile("file://./x.txt", field="spec.predict"), Site(tmp_path), "text"))
    assert failure.value.problems[0].hint.startswith("set spec.predict.format: CSV")


def test_quotes_are_what_the_option_says(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\n'near, or far',praise\na row,praise\n")
    rows = list(read_input(InputFile("file://./x.csv", quoting=Quoting.SINGLE_QUOTE), Site(tmp_path), "text"))
    assert [row.values["text"] for row in rows if isinstance(row, Row)] == ["near, or far", "a row"]
    found = list(read_input(InputFile("file://./x.csv"), Site(tmp_path), "text"))
    assert "near, or far" not in [row.values["text"] for row in found if isinstance(row, Row)]


@pytest.mark.causes("DataUnreadable")
def test_hints_about_quotes_name_the_option_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,topic\n"a, b",rain\n"open,rain\nlost,tide\n')
    for field, hint in {"": "or give --quoting None if no quote encloses a field", "spec.predict": ""}.items():
        with pytest.raises(DataUnreadable, match="never closed") as failure:
            list(read_input(InputFile("file://./x.csv", field=field), Site(tmp_path), "text"))
        assert ("quoting" in failure.value.problems[0].hint) == bool(hint)
        assert hint in failure.value.problems[0].hint
