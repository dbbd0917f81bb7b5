import math
from decimal import Decimal

import numpy as np
import pytest

from finetune_api.data import Labels
from finetune_api.data_report import Place
from finetune_api.failures import LabelsUnsuitable, SpecInvalid
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import UnusableLabel, class_name, class_names, detect, number
from finetune_trainer.data.labels import LabelReader, LabelSpace, check_known, label_reader, label_space, targets

SINGLE, MULTI, REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ((1, 1.0, "1", "1.0", " 1 ", "+1", Decimal(1)), "1"),
        ((-1, "-1", -1.0), "-1"),
        ((0, "0", -0.0, "-0"), "0"),
        (("positive", " positive "), "positive"),
        ((True, "True", "TRUE", "true"), "true"),
        (("01",), "01"),
        ((0.5, "0.5"), "0.5"),
        (("none",), "none"),
        (("NA",), "NA"),
    ],
)
def test_ways_to_write_one_label(cells: tuple[object, ...], name: str) -> None:
    assert {class_name(cell) for cell in cells} == {name}


@pytest.mark.parametrize("cell", [None, math.nan, "", "  ", Decimal("nan")])
def test_absent_labels(cell: object) -> None:
    for read in (class_name, number, lambda c: class_names(c, "")):
        with pytest.raises(UnusableLabel) as caught:
            read(cell)
        assert caught.value.kind == "no label"


@pytest.mark.parametrize("cell", [{"a": 1}, ["a"], math.inf, b"x", "\ud800"])
def test_cells_that_are_no_class(cell: object) -> None:
    with pytest.raises(UnusableLabel):
        class_name(cell)


@pytest.mark.parametrize(
    ("cell", "value"), [("1.5", 1.5), (" 2 ", 2), (3, 3), ("-1e-3", -0.001), (Decimal("0.5"), 0.5)]
)
def test_numbers(cell: object, value: float) -> None:
    assert number(cell) == value


@pytest.mark.parametrize("cell", [math.inf, "inf", "1,5", "1_000", "good", "1e400", "9" * 400, 10**400, [1]])
def test_cells_that_are_no_number(cell: object) -> None:
    with pytest.raises(UnusableLabel):
        number(cell)


@pytest.mark.parametrize(
    ("cell", "separator", "names"),
    [
        (["a", "b", "a"], "", ("a", "b")),
        ([], "", ()),
        ('["a", "b"]', "", ("a", "b")),
        ("['a', 'b']", "", ("a", "b")),
        ("[1, 2.0]", "", ("1", "2")),
        ("a| b", "|", ("a", "b")),
        ("a", "|", ("a",)),
        ("", "|", ()),
    ],
)
def test_label_lists(cell: object, separator: str, names: tuple[str, ...]) -> None:
    assert class_names(cell, separator) == names


@pytest.mark.parametrize("cell", ["a|b", 3, "[broken", [None], [["a"]]])
def test_cells_that_are_no_list_of_labels(cell: object) -> None:
    with pytest.raises(UnusableLabel):
        class_names(cell, "")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a", "b"], SINGLE),
        ([0, 1, 2], SINGLE),
        (["1.0", "2.0"], SINGLE),
        ([1, 2.5], REGRESSION),
        (["0.1", "0.2", "1"], REGRESSION),
        ([0.5] * 30 + ["n/a"], REGRESSION),
        ([0.5, "good"], SINGLE),
        ([["a"], ["a", "b"]], MULTI),
        (['["a"]', '["b"]', ""], MULTI),
        (["[draft]", "final", "final"], SINGLE),
        ([None, math.nan], SINGLE),
    ],
)
def test_the_problem_is_detected(cells: list[object], kind: ProblemType) -> None:
    assert detect(Labels(), cells) is kind


def test_the_spec_decides_over_detection() -> None:
    assert detect(Labels(problem_type=REGRESSION), [0, 1]) is REGRESSION
    assert detect(Labels(separator="|"), ["a"]) is MULTI
    assert detect(Labels(names=["0.5", "1.5"]), [0.5, 1.5]) is SINGLE


def test_names_are_ordered_by_number_or_alphabet() -> None:
    reader = LabelReader(SINGLE, Labels())
    assert label_space(reader, ["10", "9", "-1"]).names == ("-1", "9", "10")
    assert label_space(reader, ["b", "10", "a"]).names == ("10", "a", "b")


def test_given_names_take_text_or_numbers() -> None:
    reader = LabelReader(SINGLE, Labels(names=["negative", "positive"]))
    assert [reader.read(cell) for cell in ("positive", 0, "1")] == ["positive", "negative", "positive"]
    assert label_space(reader, ["negative", "positive"]).names == ("negative", "positive")
    for cell in (2, -1, "neutral"):
        with pytest.raises(UnusableLabel, match=r"one of data\.labels\.names"):
            reader.read(cell)


def test_names_that_are_numbers_are_no_indices() -> None:
    reader = LabelReader(SINGLE, Labels(names=["1", "2", "3"]))
    assert reader.read(1.0) == "1"
    with pytest.raises(UnusableLabel):
        reader.read(0)


def test_a_label_in_another_case_is_pointed_at() -> None:
    with pytest.raises(UnusableLabel) as caught:
        LabelReader(SINGLE, Labels(names=["Positive", "Negative"])).read("positive")
    assert "did you mean 'Positive'?" in caught.value.detail


@pytest.mark.parametrize("names", [["a", "a"], ["1", "1.0"], ["a", " "]])
def test_names_that_cant_be(names: list[str]) -> None:
    with pytest.raises(SpecInvalid) as caught:
        LabelReader(SINGLE, Labels(names=names))
    assert caught.value.problems[0].where == "spec.data.labels.names"


def test_names_make_no_sense_for_numbers() -> None:
    with pytest.raises(SpecInvalid):
        LabelReader(REGRESSION, Labels(names=["a"]))


@pytest.mark.causes("LabelsUnsuitable")
@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        (SINGLE, ["a"] * 5, "the same label: 'a'"),
        (MULTI, [("a",)] * 5, "the same label: 'a'"),
        (MULTI, [()] * 5, "the same label"),
        (REGRESSION, [1.5] * 5, "the same number"),
        (SINGLE, [str(n // 2) for n in range(1200)], "600 classes are more than 512"),
        (SINGLE, [str(n) for n in range(40)], "nearly each row has its own"),
    ],
)
def test_labels_that_cant_be_learned(kind: ProblemType, labels: list[object], message: str) -> None:
    with pytest.raises(LabelsUnsuitable, match=message):
        label_space(LabelReader(kind, Labels()), labels)  # type: ignore[arg-type]


def test_rows_of_zeros_and_ones_are_not_taken_for_classes() -> None:
    with pytest.raises(LabelsUnsuitable, match="rows of zeros and ones"):
        label_reader(Labels(), [[0, 1, 0], [1, 1, 0], [0, 0, 0]])
    with pytest.raises(LabelsUnsuitable, match="rows of zeros and ones"):
        label_reader(Labels(), ["[0, 1, 0]", "[1, 0, 0]"])
    assert label_reader(Labels(), [[0, 1], [1], [0]]).read([0, 1]) == ("0", "1")


def test_one_class_present_or_not_can_be_learned() -> None:
    assert label_space(LabelReader(MULTI, Labels()), [("a",), ()]) == LabelSpace(MULTI, ("a",))


def test_many_numbers_are_advised_to_be_a_regression() -> None:
    with pytest.raises(LabelsUnsuitable) as caught:
        label_space(LabelReader(SINGLE, Labels()), [str(n // 2) for n in range(1200)])
    assert "problemType: Regression" in caught.value.problems[0].hint


def test_targets_have_the_shape_of_their_problem() -> None:
    single = targets(LabelSpace(SINGLE, ("a", "b")), ["b", "a", "b"])
    several = targets(LabelSpace(MULTI, ("a", "b")), [("b",), (), ("a", "b")])
    numbers = targets(LabelSpace(REGRESSION), [0.5, 1.0])
    assert (single.dtype, single.tolist()) == (np.int64, [1, 0, 1])
    assert (several.dtype, several.tolist()) == (np.float32, [[0, 1], [0, 0], [1, 1]])
    assert (numbers.dtype, numbers.tolist()) == (np.float32, [0.5, 1.0])
    assert LabelSpace(REGRESSION).num_labels == 1
    assert LabelSpace(MULTI, ("a", "b", "c")).num_labels == 3


@pytest.mark.causes("LabelsUnsuitable")
def test_unknown_labels_of_given_files_are_named_by_line() -> None:
    space = LabelSpace(SINGLE, ("negative", "positive"))
    places = [Place(file="test.csv", line=line) for line in (2, 3, 4)]
    with pytest.raises(LabelsUnsuitable) as caught:
        check_known(space, [frozenset({name}) for name in ("positive", "Positive", "mixed")], places, "test")
    first, second = caught.value.problems
    assert (first.where, second.where) == ("test.csv:3", "test.csv:4")
    assert "did you mean 'positive'?" in first.message
    assert "'negative', 'positive'" in second.message
