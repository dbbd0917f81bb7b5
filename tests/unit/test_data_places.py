"""Which files of a folder, and which rows of a JSON file, are for training, for validation and for the test."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data, DataSource
from finetune_api.failures import DataNotFound, DataUnreadable
from finetune_trainer.data import prepare, read_rows
from finetune_trainer.data.reading.split_names import files_of_place, place_of_file
from finetune_trainer.storage import Site


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("train.csv", "train"),
        ("data/train-00000-of-00002.parquet", "train"),
        ("TEST.jsonl.gz", "test"),
        ("dev-v1.1.json", "validation"),
        ("tweets_val.tsv", "validation"),
        ("test/part-7.csv", "test"),
        ("training/validated.csv", "train"),
        ("rows.csv", ""),
        ("contest.csv", ""),
        ("latest/devices.csv", ""),
        ("train_test.csv", ""),
        ("trainees.csv", ""),
    ],
)
def test_names_of_splits_in_paths(path: str, place: str) -> None:
    assert place_of_file(path) == place


BOTH = ["test.jsonl", "train-1.jsonl", "train-2.jsonl", "valid.jsonl"]


@pytest.mark.parametrize(
    ("files", "place", "expected"),
    [
        (BOTH, "train", ["train-1.jsonl", "train-2.jsonl"]),
        (BOTH, "validation", ["valid.jsonl"]),
        (BOTH, "test", ["test.jsonl"]),
        (BOTH, "", BOTH),
        (["a.csv", "b.csv"], "test", ["a.csv", "b.csv"]),
        (["a.csv", "test.csv"], "", ["a.csv", "test.csv"]),
    ],
)
def test_files_of_a_place(files: list[str], place: str, expected: list[str]) -> None:
    assert files_of_place(files, place) == (expected, "")


@pytest.mark.parametrize(
    ("files", "place", "words"),
    [
        (["test.csv"], "train", "none of its files is named for train rows: test.csv"),
        (["reviews.csv", "reviews_test.csv"], "train", "named for train rows: reviews_test.csv, reviews.csv"),
        (["extra.csv", "train.csv", "test.csv"], "train", "some are not: train.csv, extra.csv"),
        (["train.csv"], "validation", "named for validation rows: train.csv"),
    ],
)
def test_files_that_are_not_clear(files: list[str], place: str, words: str) -> None:
    found, unclear = files_of_place(files, place)
    assert found == []
    assert unclear.endswith(words)


def rows(count: int, word: str) -> list[dict[str, str]]:
    return [{"text": f"{word} {n * n + 7} {word[::-1]}{n}", "label": "ab"[n % 2]} for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set as it comes from the hub: a file per split, and files about the data."""
    (tmp_path / "data").mkdir()
    for name, count in (("train", 60), ("test", 12), ("validation", 9)):
        lines = "".join(json.dumps(row) + "\n" for row in rows(count, name))
        (tmp_path / "data" / f"{name}-00000-of-00001.jsonl").write_text(lines)
    (tmp_path / "data" / "dataset_info.json").write_text('{"name": "tickets", "rows": 81}')
    (tmp_path / "data" / "README.md").write_text("# Tickets\n")
    return tmp_path


def splits_of(base: Path, **data: Any) -> dict[str, int]:
    spec = {name: [{"uri": uri}] if isinstance(uri, str) else uri for name, uri in data.items()}
    result = prepare(Data.model_validate(spec), site=Site(base))
    return {name: len(part) for name, part in result.splits.items()}


@pytest.mark.parametrize("uri", ["file://./data", "file://./data/"])
def test_each_place_takes_its_files_of_a_folder(folder: Path, uri: str) -> None:
    assert splits_of(folder, train=uri, validation=uri, test=uri) == {"train": 60, "validation": 9, "test": 12}
    assert splits_of(folder, train=uri) == {"train": 48, "validation": 6, "test": 6}


@pytest.mark.causes("DataNotFound")
def test_a_folder_without_training_files_is_refused(folder: Path) -> None:
    (folder / "data" / "train-00000-of-00001.jsonl").rename(folder / "data" / "rows.jsonl")
    with pytest.raises(DataNotFound, match="not clear which files hold the train rows") as caught:
        splits_of(folder, train="file://./data")
    assert "name the files one by one" in caught.value.problems[0].hint


def test_files_in_hidden_folders_are_no_data(folder: Path) -> None:
    for name in (".ipynb_checkpoints", ".cache/huggingface", "_delta_log", "__MACOSX"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "train-copy.jsonl").write_text('{"text": "stray", "label": "c"}\n')
    uri = "file://./data"
    assert splits_of(folder, train=uri, validation=uri, test=uri) == {"train": 60, "validation": 9, "test": 12}


@pytest.mark.parametrize("name", ["more.xlsx", "old/rows.csv.zip", "part.arrow"])
def test_tables_that_cant_be_read_are_not_passed_over(folder: Path, name: str) -> None:
    (folder / "data" / name).parent.mkdir(exist_ok=True)
    (folder / "data" / name).write_bytes(b"PK")
    with pytest.raises(DataNotFound, match=f"{name} beside .* can't be read, and may hold rows") as caught:
        splits_of(folder, train="file://./data")
    assert "name the files one by one" in caught.value.problems[0].hint


def test_a_folder_of_nothing_but_arrow_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "data-00000-of-00001.arrow").write_bytes(b"ARROW1")
    with pytest.raises(DataNotFound) as caught:
        splits_of(tmp_path, train="file://./saved")
    assert "data-00000-of-00001.arrow can't be read: write the rows as Parquet" in caught.value.problems[0].hint


def test_a_file_of_the_place_is_the_example(folder: Path) -> None:
    (folder / "data" / "labels.json").write_text('["a", "b"]')
    with pytest.raises(DataNotFound, match=r"some are not: .*, labels\.json") as caught:
        splits_of(folder, train="file://./data")
    assert caught.value.problems[0].hint.endswith("file://./data/train-00000-of-00001.jsonl")


def test_a_pattern_is_told_as_one(folder: Path) -> None:
    with pytest.raises(DataNotFound, match="patterns are not read"):
        splits_of(folder, train="file://./data/*.jsonl")


def test_a_folder_to_predict_is_read_whole(folder: Path) -> None:
    assert len(list(read_rows("file://./data", Site(folder)))) == 81
    assert len(list(read_rows(DataSource(uri="file://./data"), Site(folder), place="test"))) == 12


def written(base: Path, **arrays: object) -> str:
    (base / "all.json").write_text(json.dumps(arrays, indent=1))
    return "file://./all.json"


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "dev", "Test"), ("train", "valid", "testing")]
)
def test_each_place_takes_its_key_of_a_json_file(tmp_path: Path, names: tuple[str, str, str]) -> None:
    uri = written(tmp_path, version="1", **dict(zip(names, (rows(40, "a"), rows(9, "b"), rows(12, "c")), strict=True)))
    assert splits_of(tmp_path, train=uri, validation=uri, test=uri) == {"train": 40, "validation": 9, "test": 12}


def test_a_key_without_the_name_of_a_split_fits_every_place(tmp_path: Path) -> None:
    uri = written(tmp_path, data=rows(40, "a"))
    assert splits_of(tmp_path, train=uri)["train"] == 32
    uri = written(tmp_path, tickets=rows(40, "a"), authors=["me"])
    assert splits_of(tmp_path, train=uri)["train"] == 32


@pytest.mark.causes("DataUnreadable")
@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        (("test", "validation"), "train", "for train, rows are under test, validation"),
        (("train",), "test", "for test, rows are under train"),
        (("val", "valid", "train"), "validation", "for validation, rows are under val, valid"),
        (("train", "test"), "", "rows are under train, test"),
    ],
)
def test_keys_that_are_not_clear(tmp_path: Path, keys: tuple[str, ...], place: str, words: str) -> None:
    uri = written(tmp_path, **{key: rows(5, key) for key in keys})
    with pytest.raises(DataUnreadable, match=f"all.json: it is not clear which rows to read: {words}") as caught:
        list(read_rows(uri, Site(tmp_path), place=place))
    assert caught.value.problems[0].hint.endswith(f"call their key {place or 'data'}")


def test_an_empty_split_is_not_another_one(tmp_path: Path) -> None:
    uri = written(tmp_path, train=rows(5, "a"), test=[])
    assert list(read_rows(uri, Site(tmp_path), place="test")) == []


def told(base: Path, **data: Any) -> list[str]:
    report = prepare(Data.model_validate(data), site=Site(base)).report
    return [warning for warning in report.warnings if "not read" in warning]


def test_files_of_splits_that_no_source_reads_are_told(folder: Path) -> None:
    train = [{"uri": "file://./data"}]
    first, second = told(folder, train=train)
    assert first == (
        "data/validation-00000-of-00001.jsonl beside the training rows is not read, and 10% of the training rows are"
        " split off: for validation rows from there, set data.validation: [{uri: file://./data}]."
    )
    assert "data/test-00000-of-00001.jsonl beside" in second
    (only,) = told(folder, train=train, validation=train, split={"test": 0})
    assert "is not read, and there are no test rows: for test rows" in only
    assert told(folder, train=train, validation=train, test=train) == []
    dev = {"uri": "file://./data/validation-00000-of-00001.jsonl"}
    assert told(folder, train=[*train, dev], test=train) == []  # learned from, which is a choice


def test_keys_of_splits_that_no_source_reads_are_told(tmp_path: Path) -> None:
    uri = written(tmp_path, train=rows(60, "a"), test=rows(12, "c"), authors=[{"name": "me"}])
    (only,) = told(tmp_path, train=[{"uri": uri}])
    assert only.startswith("all.json:test beside the training rows is not read")
    assert told(tmp_path, train=[{"uri": uri}], test=[{"uri": uri}]) == []
