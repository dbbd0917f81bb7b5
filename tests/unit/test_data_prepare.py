import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finetune_api.data import Data
from finetune_api.failures import (
    ColumnMissing,
    DataEmpty,
    DataNotFound,
    DataUnreadable,
    LabelsUnsuitable,
    TooManyBadRows,
)
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.storage import Site

SUBJECTS = ("invoice", "parcel", "password", "refund", "router", "ticket", "train", "window")
VERBS = ("broke", "came twice", "is lost", "never arrived", "was wrong")
ROWS = [
    (f"The {noun} of {place} {verb}.", "late" if len(verb) > 8 else "broken")
    for noun in SUBJECTS
    for verb in VERBS
    for place in ("Anna in Antwerp", "the hotel by the sea", "our new colleague")
]


def csv_of(rows: list[tuple[str, object]]) -> str:
    return "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)


def jsonl_of(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def prepared(base: Path, files: dict[str, str | bytes], **spec: Any) -> Prepared:
    """Write `files` and prepare them; the first is the training data unless `spec` says more."""
    for name, content in files.items():
        (base / name).write_bytes(content.encode() if isinstance(content, str) else content)
    data = {"train": [{"uri": f"file://./{next(iter(files))}"}], **spec}
    return prepare(Data.model_validate(data), site=Site(base))


def test_rows_are_split_and_described(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"rows.csv": csv_of(ROWS)})
    assert {name: len(rows) for name, rows in result.splits.items()} == {"train": 96, "validation": 12, "test": 12}
    assert (result.labels.problem_type, result.labels.names) == (ProblemType.SINGLE_LABEL, ("broken", "late"))
    train = result.splits["train"]
    assert train.pairs is None
    assert train.targets.dtype == np.int64
    assert [ROWS[place.line - 2] for place in train.places] == [
        (text, result.labels.names[target]) for text, target in zip(train.texts, train.targets.tolist(), strict=True)
    ]
    report = result.report
    assert (report.rows_read, report.bad_rows, report.files) == (120, 0, ["rows.csv"])
    assert report.columns == {"text": "text", "label": "label"}
    assert report.splits["train"].labels == {"broken": 38, "late": 58}
    assert report.label_names == ["broken", "late"]


def test_the_digest_depends_on_content_alone(tmp_path: Path) -> None:
    first = prepared(tmp_path, {"rows.csv": csv_of(ROWS)})
    again = prepared(tmp_path, {"same.jsonl": jsonl_of([{"label": label, "text": text} for text, label in ROWS])})
    other = prepared(tmp_path, {"other.csv": csv_of([*ROWS[:-1], ("Something new.", "late")])})
    assert first.digest == again.digest != other.digest
    assert first.digest == prepared(tmp_path, {"rows.csv": csv_of(ROWS)}).digest
    assert len(first.digest) == 64


def test_a_shuffled_file_is_split_the_same(tmp_path: Path) -> None:
    shuffled = [ROWS[index] for index in np.random.default_rng(3).permutation(len(ROWS))]
    first = prepared(tmp_path, {"rows.csv": csv_of(ROWS)})
    second = prepared(tmp_path, {"shuffled.csv": csv_of(shuffled)})
    for name, rows in first.splits.items():
        assert set(rows.texts) == set(second.splits[name].texts)


def test_a_share_of_zero_leaves_the_split_out(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"rows.csv": csv_of(ROWS)}, split={"validation": 0, "test": 0})
    assert list(result.splits) == ["train"]


def test_given_files_are_taken_and_the_rest_is_split(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "train.csv": csv_of(ROWS),
        "test.csv": csv_of([("It came too late.", "late"), ("Glass is cracked.", "broken")]),
    }
    result = prepared(tmp_path, files, test=[{"uri": "file://./test.csv"}])
    assert {name: len(rows) for name, rows in result.splits.items()} == {"train": 108, "validation": 12, "test": 2}
    assert list(result.splits) == ["train", "validation", "test"]
    assert result.splits["test"].targets.tolist() == [1, 0]


@pytest.mark.parametrize(
    "labels",
    [["0", "1"], [0, 1], [0.0, 1.0], ["0.0", "1"], [False, True]],
)
def test_labels_as_text_or_numbers(tmp_path: Path, labels: list[object]) -> None:
    rows = [{"text": text, "label": labels[label == "late"]} for text, label in ROWS]
    result = prepared(tmp_path, {"rows.jsonl": jsonl_of(rows)})
    assert result.labels.names == (("false", "true") if labels[0] is False else ("0", "1"))


def test_mixed_ways_to_write_a_label_are_one(tmp_path: Path) -> None:
    ways: list[object] = ["1", 1, 1.0]
    rows: list[dict[str, object]] = [
        {"text": text, "label": ways[i % 3] if label == "late" else 0} for i, (text, label) in enumerate(ROWS)
    ]
    assert prepared(tmp_path, {"rows.jsonl": jsonl_of(rows)}).labels.names == ("0", "1")


def test_several_labels_a_row(tmp_path: Path) -> None:
    sets = [["a"], ["a", "b"], [], ["c"]]
    rows: list[dict[str, object]] = [{"text": text, "label": sets[i % 4]} for i, (text, _) in enumerate(ROWS)]
    result = prepared(tmp_path, {"rows.jsonl": jsonl_of(rows)})
    assert (result.labels.problem_type, result.labels.names) == (ProblemType.MULTI_LABEL, ("a", "b", "c"))
    assert result.splits["train"].targets.shape == (96, 3)
    assert result.splits["train"].targets.dtype == np.float32
    assert any("without any label" in warning for warning in result.report.warnings)


def test_numbers_to_predict(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"rows.csv": csv_of([(text, len(text) / 4) for text, _ in ROWS])})
    assert (result.labels.problem_type, result.labels.num_labels) == (ProblemType.REGRESSION, 1)
    numbers = result.report.splits["train"].numbers
    assert numbers["min"] < numbers["mean"] < numbers["max"]
    assert result.report.imbalance is None


def test_pairs_and_groups(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"premise": text, "hypothesis": f"  {label}?", "label": label, "lang": "en"} for text, label in ROWS
    ]
    columns = {"text": "premise", "textPair": "hypothesis", "group": "lang"}
    result = prepared(tmp_path, {"rows.jsonl": jsonl_of(rows)}, columns=columns)
    assert set(result.splits["train"].pairs or []) == {"late?", "broken?"}
    assert set(result.splits["train"].groups or []) == {"en"}
    assert result.report.columns == {"text": "premise", "label": "label", "textPair": "hypothesis", "group": "lang"}


def test_parquet_and_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    half = len(ROWS) // 2
    (tmp_path / "parts" / "a.csv").write_text(csv_of(ROWS[:half]))
    (tmp_path / "parts" / "notes.txt").write_text("no data")
    (tmp_path / "parts" / "_index.csv").write_text("no data either")
    table = pa.table({"text": [text for text, _ in ROWS[half:]], "label": [label for _, label in ROWS[half:]]})
    pq.write_table(table, tmp_path / "parts" / "b.parquet")
    for uri in ("file://./parts", "file://./parts/"):
        result = prepare(Data.model_validate({"train": [{"uri": uri}]}), site=Site(tmp_path))
        assert result.report.files == ["parts/a.csv", "parts/b.parquet"]
        assert result.report.rows_read == len(ROWS)
    assert result.digest == prepared(tmp_path, {"rows.csv": csv_of(ROWS)}).digest


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.parquet: not a whole Parquet file"):
        prepared(tmp_path, {"rows.parquet": b"PAR1 and no more"})


@pytest.mark.causes("DataNotFound")
@pytest.mark.parametrize("uri", ["file://./nowhere.csv", "file:///nowhere/rows.csv", "file://./empty/"])
def test_files_that_are_not_there(tmp_path: Path, uri: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataNotFound):
        prepare(Data.model_validate({"train": [{"uri": uri}]}), site=Site(tmp_path))


@pytest.mark.causes("DataEmpty")
@pytest.mark.parametrize("content", ["", "\n\n", "text,label\n", "\ufeff", "\ufefftext,label"])
def test_files_without_rows(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataEmpty, match=r"file://\./rows\.csv: there are no rows"):
        prepared(tmp_path, {"rows.csv": content})


@pytest.mark.causes("DataEmpty")
@pytest.mark.parametrize(
    ("rows", "message"), [(1, "one usable row is too few"), (2, "too few to split off 10% for validation")]
)
def test_files_of_one_or_two_rows(tmp_path: Path, rows: int, message: str) -> None:
    with pytest.raises(DataEmpty, match=message) as caught:
        prepared(tmp_path, {"rows.csv": csv_of([("first thing", "a"), ("other matter", "b")][:rows])})
    assert caught.value.problems[0].hint


def test_near_duplicates_of_each_other_cant_be_split(tmp_path: Path) -> None:
    rows: list[tuple[str, object]] = [
        (f"The very same long sentence, time and again, {'!' * n}", "ab"[n % 2]) for n in range(40)
    ]
    with pytest.raises(DataEmpty, match="near-duplicates stay together"):
        prepared(tmp_path, {"rows.csv": csv_of(rows)})


@pytest.mark.causes("TooManyBadRows")
def test_bad_rows_are_listed_by_file_and_line(tmp_path: Path) -> None:
    bad = '"No label.",\n"  ",late\nfew\n"With ""NUL"" \0.",late\n'
    with pytest.raises(TooManyBadRows) as caught:
        prepared(tmp_path, {"rows.csv": csv_of(ROWS[:20]) + bad})
    summary, *rows = caught.value.problems
    assert summary.message.startswith("4 of 24 rows can't be used (16.7%)")
    assert [(problem.where, problem.message) for problem in rows] == [
        ("rows.csv:22", "no label"),
        ("rows.csv:23", "text is empty"),
        ("rows.csv:24", "wrong number of fields: 1 where the header has 2"),
        ("rows.csv:25", "text holds a NUL character"),
    ]


def test_a_few_bad_rows_are_left_out_and_reported(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"rows.csv": csv_of(ROWS) + '"No label.",nan\nfew\n'})
    assert result.report.bad_rows == 2
    assert result.report.bad_row_reasons == {"wrong number of fields": 1, "no label but nan": 1}
    assert {(b.place.line, b.reason) for b in result.report.bad_row_examples} == {
        (122, "no label but nan"),
        (123, "wrong number of fields: 1 where the header has 2"),
    }
    with pytest.raises(TooManyBadRows):
        prepared(tmp_path, {"rows.csv": csv_of(ROWS) + "few\n"}, maxBadRowRatio=0)


@pytest.mark.causes("TooManyBadRows")
def test_bad_rows_of_a_small_test_file_are_not_hidden_by_many_good_ones(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"train.csv": csv_of(ROWS), "test.csv": "text,label\nfew\n"}
    with pytest.raises(TooManyBadRows, match=r"spec\.data\.test"):
        prepared(tmp_path, files, test=[{"uri": "file://./test.csv"}])


def test_all_labels_absent(tmp_path: Path) -> None:
    with pytest.raises(TooManyBadRows, match=r"no label but nan \(120\)"):
        prepared(tmp_path, {"rows.csv": csv_of([(text, "NaN") for text, _ in ROWS])})
    with pytest.raises(DataEmpty, match="none of the 120 rows"):
        prepared(tmp_path, {"rows.csv": csv_of([(text, "") for text, _ in ROWS])}, maxBadRowRatio=1)


@pytest.mark.causes("ColumnMissing")
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_missing_columns_list_what_is_there(tmp_path: Path, name: str) -> None:
    rows: list[dict[str, object]] = [{"id": n, "review": t, "stars": lab} for n, (t, lab) in enumerate(ROWS)]
    table = "id,review,stars\n" + "".join(f'{r["id"]},"{r["review"]}",{r["stars"]}\n' for r in rows)
    with pytest.raises(ColumnMissing) as caught:
        prepared(tmp_path, {name: table if name == "rows.csv" else jsonl_of(rows)})
    assert "its columns are: 'id', 'review', 'stars'" in caught.value.problems[0].message
    assert caught.value.problems[-1].hint == "write  data.columns: {text: review, label: stars}"


def test_a_key_missing_in_some_lines_makes_bad_rows(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": text, "label": label} for text, label in ROWS]
    result = prepared(
        tmp_path, {"rows.jsonl": jsonl_of([{"text": "A row without a label."}, *rows, {"label": "late"}])}
    )
    assert result.report.bad_row_reasons == {"text is empty": 1, "no label": 1}


def test_texts_that_are_no_text(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": text, "label": label} for text, label in ROWS]
    odd: list[dict[str, object]] = [
        {"text": ["a"], "label": "late"},
        {"text": "\ud800", "label": "late"},
        {"text": 12, "label": "late"},
    ]
    result = prepared(tmp_path, {"rows.jsonl": jsonl_of(rows + odd)}, split={"validation": 0, "test": 0})
    assert set(result.report.bad_row_reasons) == {"text is no text", "text holds broken Unicode"}
    assert result.splits["train"].texts[-1] == "12"


def test_duplicates_are_dropped_from_training_if_wanted(tmp_path: Path) -> None:
    rows = [*ROWS, *ROWS[:10], (ROWS[0][0], "late" if ROWS[0][1] == "broken" else "broken")]
    table = {"rows.csv": csv_of(rows)}
    dropped = prepared(tmp_path, {**table}, split={"validation": 0, "test": 0})
    assert (dropped.report.duplicates_dropped, len(dropped.splits["train"])) == (10, 121)
    assert dropped.report.conflicting_labels == 1
    assert any("1 text occurs with different labels" in warning for warning in dropped.report.warnings)
    kept = prepared(tmp_path, {**table}, clean={"dropDuplicates": False})
    assert kept.report.duplicates_dropped == 0
    sides = {text: name for name, rows_ in kept.splits.items() for text in rows_.texts}
    assert all(sides[text] == name for name, rows_ in kept.splits.items() for text in rows_.texts)
    assert kept.report.near_duplicates == 21


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    edited = [(text.replace(".", ", sadly!").upper(), label) for text, label in ROWS]
    result = prepared(tmp_path, {"rows.csv": csv_of(ROWS + edited)}, split={"validation": 0.2, "test": 0.2})
    sides = {text: name for name, rows in result.splits.items() for text in rows.texts}
    together = [sides[text] == sides[text.replace(".", ", sadly!").upper()] for text, _ in ROWS if len(text) > 40]
    assert all(together)
    assert len(together) > 50


def test_leaks_in_given_files_are_reported_not_dropped(tmp_path: Path) -> None:
    text, label = max(ROWS, key=lambda row: len(row[0]))
    held_out = [
        (text.upper(), label),
        ("Nothing like any other row here.", "broken"),
        ("It is late again, sigh.", "late"),
    ]
    files: dict[str, str | bytes] = {"train.csv": csv_of(ROWS), "test.csv": csv_of(held_out)}
    result = prepared(tmp_path, files, test=[{"uri": "file://./test.csv"}], split={"validation": 0})
    assert len(result.splits["test"]) == 3
    assert result.report.leaks == 1
    ((place, source),) = result.report.leak_examples
    assert (place.file, place.line) == ("test.csv", 2)
    assert ROWS[source.line - 2][0] == text
    assert any("metrics on them may be too good" in warning for warning in result.report.warnings)


@pytest.mark.causes("LabelsUnsuitable")
def test_labels_that_training_does_not_know(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"train.csv": csv_of(ROWS), "val.csv": csv_of([("Hm.", "Late"), ("Oh.", "late")])}
    with pytest.raises(LabelsUnsuitable, match=r"val\.csv:2: label 'Late' does not occur .* did you mean 'late'\?"):
        prepared(tmp_path, files, validation=[{"uri": "file://./val.csv"}])


@pytest.mark.causes("LabelsUnsuitable")
def test_data_of_a_single_class(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnsuitable, match="the same label: 'late'"):
        prepared(tmp_path, {"rows.csv": csv_of([(text, "late") for text, _ in ROWS])})


def test_named_labels_keep_their_order(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"rows.csv": csv_of(ROWS)}, labels={"names": ["late", "broken", "lost"]})
    assert result.labels.names == ("late", "broken", "lost")
    assert result.report.splits["train"].labels["lost"] == 0
    assert any("No training row has the label 'lost'" in warning for warning in result.report.warnings)


def test_max_rows_draws_from_training_only(tmp_path: Path) -> None:
    whole = prepared(tmp_path, {"rows.csv": csv_of(ROWS)})
    cut = prepared(tmp_path, {"rows.csv": csv_of(ROWS)}, maxRows=10)
    assert len(cut.splits["train"]) == 10
    assert set(cut.splits["train"].texts) < set(whole.splits["train"].texts)
    assert cut.splits["test"].texts == whole.splits["test"].texts
    assert set(cut.splits["train"].targets.tolist()) == {0, 1}


def test_warnings_say_what_to_look_at(tmp_path: Path) -> None:
    rows = [(text, "common") for text, _ in ROWS]
    rows[0], rows[60] = (rows[0][0], "rare"), (rows[60][0], "Rare")
    warnings = "\n".join(prepared(tmp_path, {"rows.csv": csv_of(rows)}).report.warnings)
    for part in (
        "Fewer than 8 training rows have the label 'Rare', 'rare'",
        "'common' has 94 times the rows of 'Rare'",
        "differ in case or spaces only",
        "No test row has the label 'Rare', 'rare'",
        "Only 12 rows for test",
    ):
        assert part in warnings


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(csv_of(ROWS))
    told: list[str] = []
    prepare(Data.model_validate({"train": [{"uri": "file://./rows.csv"}]}), site=Site(tmp_path), progress=told.append)
    assert told == ["reading file://./rows.csv", "looking for near-duplicates"]
