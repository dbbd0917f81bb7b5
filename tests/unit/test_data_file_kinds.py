"""Files under a name that is not theirs: compressed ones are read, others are named with what to do about them."""

import bz2
import gzip
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest

from finetune_api.data import DataFormat, DataSource
from finetune_api.failures import DataUnreadable
from finetune_api.file_formats import known_format
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.sources import read_rows
from finetune_trainer.data.reading.text_files import open_text
from finetune_trainer.storage import Site

TEXT = "text,label\nÅse rows ashore,a\nwind and tide,b\n" * 50
TABLE = pa.table({"text": ["a", "b"]})


def zstandard(content: bytes) -> bytes:
    """Two frames, as programs that work in parallel write them."""
    return b"".join(pa.compress(part, "zstd", asbytes=True) for part in (content[:100], content[100:]))


COMPRESSIONS = [
    pytest.param(gzip.compress, "gzip", id="gzip"),
    pytest.param(bz2.compress, "bzip2", id="bzip2"),
    pytest.param(lzma.compress, "xz", id="xz"),
    pytest.param(zstandard, "Zstandard", id="zstd"),
]


def read(path: Path, content: bytes) -> str:
    (path / "rows.csv").write_bytes(content)
    with open_text(DataFile(path / "rows.csv", "rows.csv", DataFormat.CSV)) as text:
        return text.read()


@pytest.mark.parametrize(("compress", "name"), COMPRESSIONS)
def test_compressed_text_is_read_under_any_name(tmp_path: Path, compress: Callable[[bytes], bytes], name: str) -> None:
    packed = compress(TEXT.encode())
    assert read(tmp_path, packed) == TEXT
    with pytest.raises(DataUnreadable, match=f"broken {name}"):
        read(tmp_path, packed[: len(packed) // 2])


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_endings_of_compressed_tables(ending: str) -> None:
    assert known_format(f"a.jsonl.{ending}") is DataFormat.JSONL
    assert known_format(f"a.TSV.{ending.upper()}") is DataFormat.CSV
    assert known_format(f"a.tar.{ending}") is None


def tar() -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("rows.csv")
        entry.size = len(TEXT.encode())
        archive.addfile(entry, BytesIO(TEXT.encode()))
    return packed.getvalue()


def zipped() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.csv", TEXT)
    return packed.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table rows (text, label)")
        return connection.serialize()


def array() -> bytes:
    packed = BytesIO()
    np.save(packed, np.arange(3))
    return packed.getvalue()


def arrow(write: Callable[[BytesIO], None]) -> bytes:
    packed = BytesIO()
    write(packed)
    return packed.getvalue()


def stream(packed: BytesIO) -> None:
    with pa.ipc.new_stream(packed, TABLE.schema) as writer:
        writer.write_table(TABLE)


@pytest.mark.parametrize(
    ("make", "name", "hint"),
    [
        (tar, "a tar archive", "unpack it"),
        (lambda: gzip.compress(tar(), mtime=0), "a tar archive", "unpack it"),
        (lambda: gzip.compress(gzip.compress(b"x", mtime=0), mtime=0), "a gzip file", "unpack it"),
        (zipped, "a ZIP archive", "save the sheet as CSV"),
        (database, "an SQLite database", "export the rows"),
        (array, "a NumPy array", "export the rows"),
        (lambda: pickle.dumps([{"text": "a"}]), "a Python pickle", "pickles are never opened"),
        (lambda: arrow(lambda to: pa.feather.write_feather(TABLE, to)), "an Arrow", "write it as Parquet"),
        (lambda: arrow(stream), "an Arrow stream", "write it as Parquet"),
        (lambda: arrow(lambda to: pa.orc.write_table(TABLE, to)), "an ORC file", "write it as Parquet"),
        (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(9), "a 7z archive", "unpack it"),
        (lambda: b"\x89HDF\r\n\x1a\n" + bytes(9), "an HDF5 file", "export the rows"),
        (lambda: b"__label__a hi\n__label__b bye\n", "a file for fastText", "write it as CSV"),
        (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "an old Excel sheet", "save the sheet as CSV"),
    ],
)
@pytest.mark.parametrize("form", [DataFormat.CSV, DataFormat.JSONL, DataFormat.JSON, DataFormat.CONLL])
def test_another_kind_of_file_is_named(
    tmp_path: Path, make: Callable[[], bytes], name: str, hint: str, form: DataFormat
) -> None:
    (tmp_path / "rows.txt").write_bytes(make())
    with pytest.raises(DataUnreadable, match=f"this is {name}") as caught:
        list(read_rows(DataSource(uri="file://./rows.txt", format=form), Site(tmp_path)))
    assert hint in caught.value.problems[0].hint


def test_texts_without_a_format_are_told_what_to_become(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("It was late.\n")
    with pytest.raises(DataUnreadable, match=r'texts alone are JSONL, a line {"text": "..."} for each'):
        list(read_rows("file://./book.txt", Site(tmp_path), field="spec.data.train[0]"))


@pytest.mark.parametrize("start", ["ORC,label", "BZh and more", "RDX", "FEA1 x", "PDF", "PK yards"])
def test_text_that_begins_like_a_signature_is_text(tmp_path: Path, start: str) -> None:
    assert read(tmp_path, f"{start}\n".encode()) == f"{start}\n"


def test_a_name_with_percent_signs_is_taken_as_it_stands(tmp_path: Path) -> None:
    for name in ("a%20b.jsonl", "50%25+1.jsonl", "c d.jsonl"):
        (tmp_path / name).write_text(f'{{"text": "{name}"}}\n')
    for uri, name in (
        ("file://./a%20b.jsonl", "a%20b.jsonl"),
        ("file://./a%2520b.jsonl", "a%20b.jsonl"),
        ("file://./50%25+1.jsonl", "50%25+1.jsonl"),
        ("file://./c%20d.jsonl", "c d.jsonl"),
        ("file://./c d.jsonl", "c d.jsonl"),
        (f"file://{tmp_path}/a%20b.jsonl", "a%20b.jsonl"),
    ):
        (row,) = read_rows(uri, Site(tmp_path))
        assert row.values == {"text": name}  # type: ignore[union-attr]
    (tmp_path / "a b.jsonl").write_text('{"text": "decoded"}\n')
    (row,) = read_rows("file://./a%20b.jsonl", Site(tmp_path))
    assert row.values == {"text": "decoded"}  # type: ignore[union-attr]
