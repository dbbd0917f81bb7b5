import codecs
import gzip
from pathlib import Path

import pytest

from finetune_api.data import DataFormat, DataSource
from finetune_api.failures import DataUnreadable, SpecInvalid
from finetune_trainer.data.reading.files import DataFile, data_file
from finetune_trainer.data.reading.text_files import open_text

TABLE = "text,label\ncafé au lait,ü\n"


def read(path: Path, content: bytes, encoding: str = "utf-8") -> str:
    (path / "rows.csv").write_bytes(content)
    with open_text(DataFile(path / "rows.csv", "rows.csv", DataFormat.CSV, encoding)) as text:
        return text.read()


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "latin-1", "utf-16-le"])
def test_a_byte_order_mark_wins_over_the_spec(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, TABLE.encode("utf-8-sig"), encoding) == TABLE
    assert read(tmp_path, TABLE.encode("utf-16"), encoding) == TABLE
    assert read(tmp_path, codecs.BOM_UTF16_BE + TABLE.encode("utf-16-be"), encoding) == TABLE
    assert read(tmp_path, TABLE.encode("utf-32"), encoding) == TABLE


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16-le", "mac-roman", "cp850"])
def test_the_spec_names_the_encoding(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, TABLE.encode(encoding), encoding) == TABLE


@pytest.mark.causes("DataUnreadable")
def test_a_wrong_encoding_names_line_byte_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable) as caught:
        read(tmp_path, b"text,label\nplain,a\n" + "café,b\n".encode("windows-1252"))
    (problem,) = caught.value.problems
    assert problem.where == "rows.csv:3"
    assert problem.message == "byte 0xe9 is not utf-8"
    assert "spec.data.train[0].encoding: windows-1252" in problem.hint
    assert "'café,b'" in problem.hint


def test_a_wrong_byte_far_into_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.csv:30001: byte 0xff"):
        read(tmp_path, b"line\n" * 30_000 + b"\xff\n")


def test_a_character_cut_off_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.csv:2: byte 0xc3"):
        read(tmp_path, b"text,label\ncaf\xc3")


def test_utf16_without_a_mark_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable) as caught:
        read(tmp_path, TABLE.encode("utf-16-be"))
    assert "encoding: utf-16-be" in caught.value.problems[0].hint


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13", "hex"])
def test_an_encoding_that_is_none(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(SpecInvalid, match="no text encoding") as caught:
        read(tmp_path, b"x", encoding)
    assert caught.value.problems[0].where == "spec.data.train[0].encoding"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PAR1....", "a Parquet file"),
        (b"PK\x03\x04...", "a ZIP archive or an Excel sheet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(DataUnreadable, match=what):
        read(tmp_path, content)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(TABLE.encode("utf-8-sig"))) == TABLE


PACKED = gzip.compress(TABLE.encode(), mtime=0)
"""Without the time, which would be part of the names of tests, and differ from worker to worker."""


@pytest.mark.parametrize("content", [PACKED[:-5], PACKED[:12] + b"junk"])
def test_broken_gzip(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataUnreadable, match="broken gzip"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", DataFormat.CSV),
        ("a.CSV.gz", DataFormat.CSV),
        ("a.tsv", DataFormat.CSV),
        ("a.jsonl", DataFormat.JSONL),
        ("a.ndjson.gz", DataFormat.JSONL),
        ("a.json", DataFormat.JSON),
        ("a.parquet", DataFormat.PARQUET),
    ],
)
def test_the_ending_tells_the_format(name: str, form: DataFormat) -> None:
    assert data_file(Path(name), name, DataSource(uri=f"file://{name}"), "spec.data.train[0]").format is form


def test_a_given_format_wins_over_the_ending() -> None:
    source = DataSource(uri="file://a.txt", format=DataFormat.JSONL)
    assert data_file(Path("a.txt"), "a.txt", source, "f").format is DataFormat.JSONL


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.xlsx", "save the sheet as CSV"), ("a.csv.zip", "unpack it first"), ("a", "set f.format: CSV")],
)
def test_an_ending_that_tells_nothing(name: str, hint: str) -> None:
    with pytest.raises(DataUnreadable, match="format is not clear") as caught:
        data_file(Path(name), name, DataSource(uri=f"file://{name}"), "f")
    assert hint in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("今天天气很好", "gb18030"),
        ("今日は天気が良い", "shift_jis"),
        ("오늘 날씨가", "euc_kr"),
        ("погода", "windows-1251"),
    ],
)
def test_words_beyond_western_letters_are_not_told_as_western(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(DataUnreadable) as caught:
        read(tmp_path, f"text,label\n{text} yes,a\n".encode(encoding))
    hint = caught.value.problems[0].hint
    assert f"{encoding} (it would read '{text}" in hint
    assert "windows-1252" not in hint
