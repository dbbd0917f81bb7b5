"""Labels as files have them: names that spell a missing value, look alike, list others or are numbers elsewhere."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data, Labels
from finetune_api.failures import LabelsUnsuitable, SpecInvalid, TooManyBadRows
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.label_name_checks import listed_classes, listed_warning, look_alikes
from finetune_trainer.data.labels import LabelReader
from finetune_trainer.data.local_numbers import is_local_number, plain_number
from finetune_trainer.storage import Site

NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Tony")
TEXTS = [f"{name} takes the {hour} boat to {place}" for name in NAMES for hour in ("first", "last", "slow")
         for place in ("Delft", "the far shore of the lake", "nowhere")]  # fmt: skip


def written(path: Path, labels: Sequence[object], form: str) -> Path:
    """Rows with these labels in turn, in a file of the format."""
    rows = [(text, labels[at % len(labels)]) for at, text in enumerate(TEXTS)]
    file = path / f"rows.{form}"
    if form in ("csv", "tsv"):
        sign = "," if form == "csv" else "\t"
        cells = [f'"{label}"' if sign in str(label) else str(label) for _, label in rows]
        lines = [sign.join(pair) for pair in zip(TEXTS, cells, strict=True)]
        file.write_text("\n".join([sign.join(("text", "label")), *lines]) + "\n", encoding="utf-8")
    else:
        file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return file


def prepared(path: Path, cells: Sequence[object], form: str = "csv", **spec: Any) -> Prepared:
    file = written(path, cells, form)
    return prepare(Data.model_validate({"train": [{"uri": f"file://./{file.name}"}], **spec}), site=Site(path))


@pytest.mark.parametrize("names", [[], ["cmn", "yue", "nan"]])
def test_text_is_a_label_whatever_it_spells_where_formats_have_null(tmp_path: Path, names: list[str]) -> None:
    result = prepared(tmp_path, ["cmn", "yue", "nan"], "jsonl", labels={"names": names})
    assert set(result.labels.names) == {"cmn", "yue", "nan"}
    assert result.report.bad_rows == 0
    several = prepared(tmp_path, [["cmn", "nan"], ["null"], ["NA", "None"]], "jsonl")
    assert several.labels.names == ("NA", "None", "cmn", "nan", "null")
    assert prepared(tmp_path, ["yes", None, "no"] + ["yes", "no"] * 10, "jsonl", maxBadRowRatio=0.2).report.bad_rows


def test_nan_in_csv_is_a_label_where_it_is_listed(tmp_path: Path) -> None:
    listed = prepared(tmp_path, ["cmn", "nan", "yue"], labels={"names": ["cmn", "yue", "nan"]})
    assert listed.report.bad_rows == 0
    with pytest.raises(TooManyBadRows, match=r"no label but nan \(18\)") as caught:
        prepared(tmp_path, ["cmn", "nan", "yue"])
    assert "name nan in spec.data.labels.names" in caught.value.problems[0].hint


def test_spellings_of_a_missing_value_are_told_in_csv_only(tmp_path: Path) -> None:
    warning = "18 rows have the label 'NA', a class here, which some programs write for a missing value"
    assert any(warning in line for line in prepared(tmp_path, ["EU", "NA", "ASIA"]).report.warnings)
    for form, names in (("jsonl", []), ("csv", ["EU", "NA", "ASIA"])):
        warnings = prepared(tmp_path, ["EU", "NA", "ASIA"], form, labels={"names": names}).report.warnings
        assert not any("missing value" in line for line in warnings)


def test_a_missing_number_is_no_class(tmp_path: Path) -> None:
    result = prepared(tmp_path, [*range(40), "NA", 0.5], "csv", labels={"problemType": "Regression"})
    assert not any("a class here" in line for line in result.report.warnings)


def test_composed_and_decomposed_letters_are_one_label(tmp_path: Path) -> None:
    ways = [unicodedata.normalize(form, "Qualität") for form in ("NFC", "NFD")]
    result = prepared(tmp_path, [ways[0], "Preis", ways[1], "\ufeffPreis\u200b"], "jsonl")
    assert result.labels.names == ("Preis", ways[0])
    named = prepared(tmp_path, [ways[0], "Preis"], labels={"names": [ways[1], "Preis"]})
    assert named.report.bad_rows == 0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["wait here", "wait\u00a0here"], "U+00A0 (NO-BREAK SPACE)"),
        (["spam", "sp\u200bam"], "U+200B (ZERO WIDTH SPACE)"),
        (["A", "\u0410"], "U+0410 (CYRILLIC CAPITAL LETTER A)"),
        (["fine", "\ufb01ne"], "U+FB01 (LATIN SMALL LIGATURE FI)"),
        (["a-b", "a\u2013b"], "U+2013 (EN DASH)"),
        (["spam", "Spam "], "differ in case or spaces only"),
        (["01", "1"], "differ in leading zeros only"),
    ],
)
def test_labels_that_look_alike(names: list[str], words: str) -> None:
    (warning,) = look_alikes(["other", *names])
    assert words in warning


@pytest.mark.parametrize("names", [["Qualität", "Qualitat"], ["1", "11"], ["a", "b"], ["да", "нет"], ["01", "02"]])
def test_labels_that_do_not(names: list[str]) -> None:
    assert list(look_alikes(names)) == []


@pytest.mark.parametrize("separator", [",", ";", "|", ", "])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_lists_of_classes_in_one_cell_are_not_taken_for_classes(tmp_path: Path, separator: str, form: str) -> None:
    labels = ["joy", "fear", f"joy{separator}fear", "anger"]
    with pytest.raises(LabelsUnsuitable, match="is a list of the labels 'joy' and 'fear'") as caught:
        prepared(tmp_path, labels, form)
    assert f"spec.data.labels.separator: '{separator.strip()}'" in caught.value.problems[0].hint
    several = prepared(tmp_path, labels, form, labels={"separator": separator.strip()})
    assert several.labels.names == ("anger", "fear", "joy")
    alone = prepared(tmp_path, labels, form, labels={"problemType": "SingleLabel"})
    assert len(alone.labels.names) == 4
    assert not any("may stand for" in line for line in alone.report.warnings)


def test_numbers_with_commas_may_be_lists_or_decimals(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnsuitable, match="'2,27' is a list of the labels '2' and '27'") as caught:
        prepared(tmp_path, ["2", "27", "2,27", "5"], "tsv")
    assert "decimal for numbers to predict" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("names", "sure"),
    [
        (["food", "drink", "food/drink"], False),
        (["good", "bad", "good bad"], False),
        (["red, large", "red, small", "blue, large", "blue, small"], None),
        (["Paris, TX", "London, ON", "Oslo"], None),
        (["yes", "no"], None),
    ],
)
def test_what_parts_names_less_surely(names: list[str], sure: bool | None) -> None:
    found = listed_classes(names)
    assert (None if found is None else found.is_sure) == sure
    assert (listed_warning(names) is None) == (sure is None and "red, large" not in names)


@pytest.mark.parametrize("labels", [["['a', 'b']", "c", "d", "e"], ['["a"]', "c", "d"]])
def test_lists_in_some_rows_only(tmp_path: Path, labels: list[str]) -> None:
    with pytest.raises(LabelsUnsuitable, match="some labels are lists"):
        prepared(tmp_path, labels, "jsonl")


@pytest.mark.parametrize("cells", [["{'a', 'b'}", "{'a'}", "{'b'}"], ["('a', 'b')", "('a',)", "('b',)"]])
def test_sets_and_tuples_as_python_writes_them_are_lists(tmp_path: Path, cells: list[str]) -> None:
    result = prepared(tmp_path, cells, "tsv")
    assert (result.labels.problem_type, result.labels.names) == (ProblemType.MULTI_LABEL, ("a", "b"))
    assert {tuple(target) for target in result.splits["train"].targets.tolist()} == {(1, 1), (1, 0), (0, 1)}


def test_arrays_of_postgresql_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnsuitable, match="as PostgreSQL writes arrays"):
        prepared(tmp_path, ["{a,b}", "{a}", "{b}"], "tsv")


def test_rows_of_zeros_and_ones_of_two_classes(tmp_path: Path) -> None:
    with pytest.raises(LabelsUnsuitable, match="rows of zeros and ones"):
        prepared(tmp_path, [[0, 1], [1, 0]], "jsonl")
    with pytest.raises(LabelsUnsuitable, match="all training rows have the same labels: 'a', 'b'"):
        prepared(tmp_path, [["a", "b"], ["b", "a"]], "jsonl")


@pytest.mark.parametrize("cells", [[[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]], ["[0.25, 0.75]", "[1, 0]"]])
def test_scores_of_classes_are_no_classes(tmp_path: Path, cells: list[Any]) -> None:
    with pytest.raises(LabelsUnsuitable, match="numbers with fractions, as scores or probabilities"):
        prepared(tmp_path, cells, "jsonl")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["contradiction", "-", "neutral"], "'-'"),
        ([-1, 0, 1, 2], "'-1'"),
        ([-1, 0, 1], None),
        ([-1, 1], None),
        (["a", "b"], None),
        ([".", ",", "?"], None),
    ],
)
def test_classes_that_may_stand_for_no_label(tmp_path: Path, labels: list[Any], told: str | None) -> None:
    warnings = prepared(tmp_path, labels, "jsonl").report.warnings
    found = [line.partition(":")[0] for line in warnings if "no label in many data sets" in line]
    assert found == ([f"The label {told} stands for no label in many data sets"] if told else [])


GRADES = ["1,0", "1,5", "2,0", "2,5", "3,0", "5,0"]


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl"])
def test_decimal_commas_are_refused_until_told(tmp_path: Path, form: str) -> None:
    with pytest.raises(LabelsUnsuitable, match="numbers in another notation, such as '1,0'") as caught:
        prepared(tmp_path, GRADES, form)
    assert "spec.data.labels.decimal: ','" in caught.value.problems[0].hint
    with pytest.raises(TooManyBadRows, match="number in another notation") as bad:
        prepared(tmp_path, GRADES, form, labels={"problemType": "Regression"})
    assert "spec.data.labels.decimal" in bad.value.problems[0].hint
    result = prepared(tmp_path, GRADES, form, labels={"decimal": ","})
    assert result.labels.problem_type is ProblemType.REGRESSION
    assert {float(value) for split in result.splits.values() for value in split.targets} == {1, 1.5, 2, 2.5, 3, 5}
    classes = prepared(tmp_path, GRADES, form, labels={"problemType": "SingleLabel"})
    assert classes.labels.names == tuple(GRADES)


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("1,5", ",", "1.5"),
        ("1.234.567,5", ",", "1234567.5"),
        ("1\u202f234,5", ",", "1234.5"),
        ("1 234", ",", "1234"),
        ("\u22123,5", ",", "-3.5"),
        (",5", ",", "0.5"),
        ("1,5e3", ",", "1.5e3"),
        ("1.234", ",", "1234"),
        ("1,234.5", ".", "1234.5"),
        ("1'234.5", ".", "1234.5"),
        ("12,000", ".", "12000"),
    ],
)
def test_numbers_of_spreadsheets(text: str, decimal: str, plain: str) -> None:
    assert plain_number(text, decimal) == plain
    reader = LabelReader(ProblemType.REGRESSION, Labels.model_validate({"decimal": decimal}))
    assert reader.read(text) == float(plain)


@pytest.mark.parametrize("text", ["1,2,3", "1,23.4", "a,b", "", ",", "12,34,567.1", "1. 234,5"])
def test_text_that_is_no_number_of_a_spreadsheet(text: str) -> None:
    assert plain_number(text, ".") == text
    assert not is_local_number(text) or text == "1. 234,5"


@pytest.mark.causes("SpecInvalid")
def test_names_that_are_one_label_in_composed_form() -> None:
    ways = [unicodedata.normalize(form, "Qualität") for form in ("NFC", "NFD")]
    with pytest.raises(SpecInvalid, match="is the same label as"):
        LabelReader(ProblemType.SINGLE_LABEL, Labels(names=ways))


def test_points_that_may_part_thousands_are_reported(tmp_path: Path) -> None:
    words = "Numbers such as '1.500' are read with a decimal point"
    mixed = prepared(tmp_path, ["1.500", "900", "2.250", "30"], "tsv")
    assert any(words in line for line in mixed.report.warnings)
    for cells in (["1.500", "0.900", "2.250"], ["1.500", "900.000", "2.250"], [1.5, 900, 2.25]):
        assert not any("decimal point" in line for line in prepared(tmp_path, cells, "jsonl").report.warnings)
    whole = prepared(tmp_path, ["1.500", "900", "2,5"], "tsv", labels={"decimal": ","})
    assert {float(value) for split in whole.splits.values() for value in split.targets} == {1500, 900, 2.5}


def test_truths_written_in_two_ways_are_reported() -> None:
    assert list(look_alikes(["true", "false", "0", "1"]))
    assert list(look_alikes(["true", "false", "0"]))
    assert not list(look_alikes(["0", "1"]))
    assert not list(look_alikes(["true", "false", "unknown"]))


def test_a_label_with_a_nul_character_makes_an_invalid_example(tmp_path: Path) -> None:
    with pytest.raises(TooManyBadRows, match="broken Unicode in the label"):
        prepared(tmp_path, ["a\0", "b"])
