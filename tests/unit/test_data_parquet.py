"""Parquet files: names of classes in their metadata, names given twice, and files of another kind."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value

from finetune_api.data import DataFormat
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.class_names import parquet_features, unpackers
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.parquet_rows import read_parquet
from finetune_trainer.data.reading.rows import Row

SHIPS = ClassLabel(names=["brig", "sloop", "ketch"])


def values(path: Path) -> list[dict[str, Any]]:
    return [row.values for row in read_parquet(DataFile(path, path.name, DataFormat.PARQUET)) if isinstance(row, Row)]


def test_class_numbers_have_the_names_that_datasets_wrote(tmp_path: Path) -> None:
    features = Features(
        {
            "text": Value("string"),
            "label": SHIPS,
            "tags": Sequence(SHIPS),
            "inside": {"ship": SHIPS, "year": Value("int64")},
            "list": [{"ship": SHIPS, "year": Value("int64")}],
        }
    )
    rows = {
        "text": ["a", "b", "c"],
        "label": [2, 0, -1],
        "tags": [[0, 1], [], [2]],
        "inside": [{"ship": 1, "year": 1790}] * 3,
        "list": [[{"ship": 0, "year": 1}], [], [{"ship": 2, "year": 2}]],
    }
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "ships.parquet")
    read = values(tmp_path / "ships.parquet")
    assert [row["label"] for row in read] == ["ketch", "brig", None]
    assert [row["tags"] for row in read] == [["brig", "sloop"], [], ["ketch"]]
    assert read[0]["inside"] == {"ship": "sloop", "year": 1790}
    assert [row["list"] for row in read] == [[{"ship": "brig", "year": 1}], [], [{"ship": "ketch", "year": 2}]]


def test_a_sequence_of_structs_may_be_held_by_column() -> None:
    old = {"entities": {"feature": {"kind": SHIPS.to_dict() if hasattr(SHIPS, "to_dict") else {}, "at": {}}}}
    old["entities"]["feature"]["kind"] = {"names": SHIPS.names, "_type": "ClassLabel"}
    unpack = unpackers({"entities": {**old["entities"], "_type": "Sequence"}})
    assert unpack["entities"]({"kind": [1, 2], "at": [5, 6]}) == {"kind": ["sloop", "ketch"], "at": [5, 6]}
    assert unpack["entities"](None) is None


@pytest.mark.parametrize("metadata", [None, {}, {b"huggingface": b"{"}, {b"huggingface": b'{"info": []}'}])
def test_other_metadata_names_nothing(metadata: dict[bytes, bytes] | None) -> None:
    assert parquet_features(metadata) == {}


def test_dictionary_columns_and_large_strings_are_their_values(tmp_path: Path) -> None:
    label = pa.array(["brig", "sloop", "brig"]).dictionary_encode()
    table = pa.table({"text": pa.array(["a", "b", "c"], pa.large_string()), "label": label})
    pq.write_table(table, tmp_path / "ships.parquet")
    assert [tuple(row.values()) for row in values(tmp_path / "ships.parquet")] == [
        ("a", "brig"),
        ("b", "sloop"),
        ("c", "brig"),
    ]


@pytest.mark.parametrize(
    ("table", "name"),
    [
        (pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), "'text'"),
        (pa.table({"s": pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])}), "'s.x'"),
    ],
)
def test_a_column_that_the_schema_names_twice(tmp_path: Path, table: pa.Table, name: str) -> None:
    pq.write_table(table, tmp_path / "twice.parquet")
    with pytest.raises(DataUnreadable, match=f"the schema names column {name} twice"):
        values(tmp_path / "twice.parquet")


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataUnreadable, match="this is an HDF5 file, not a Parquet file"):
        values(tmp_path / "rows.parquet")
