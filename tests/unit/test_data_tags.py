"""Tags of words: schemes, the tag space, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data, Labels
from finetune_api.failures import ColumnMissing, LabelsUnsuitable
from finetune_api.tasks import Task
from finetune_trainer.data import prepare
from finetune_trainer.data.label_cells import UnusableLabel
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.data.tags import TagReader, entity_counts, entity_types
from finetune_trainer.storage import Site

Prepare = Callable[..., Prepared]
BIO = [["O", "B-per", "I-per"], ["B-loc", "O"]]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """A function that prepares the rows of a file, all of them for training."""

    def run(name: str, content: str, **fields: Any) -> Prepared:
        (tmp_path / name).write_text(content, encoding="utf-8")
        settings = {"split": {"validation": 0, "test": 0}, "clean": {"dropDuplicates": False}} | fields
        data = Data.model_validate({"train": [{"uri": f"file://./{name}"}], **settings})
        return prepare(data, site=Site(tmp_path), task=Task.TOKEN_CLASSIFICATION)

    return run


def names(cells: list[list[str]], labels: Labels | None = None) -> tuple[str, ...]:
    reader = TagReader(labels or Labels(), cells)
    return reader.space([reader.read(cell) for cell in cells]).names


def test_outside_comes_first_and_each_type_has_all_prefixes_in_use() -> None:
    assert names(BIO) == ("O", "B-loc", "I-loc", "B-per", "I-per")
    assert names([["S-x", "O", "B-y", "E-y"]]) == ("O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y")


def test_plain_tags() -> None:
    assert names([["NOUN", "VERB"], ["DET", "NOUN"]]) == ("DET", "NOUN", "VERB")
    assert entity_types(["NOUN", "O", "VERB", "NOUN"]) == ["NOUN", "VERB"]


def test_numbers_are_named_by_the_spec() -> None:
    given = ["O", "B-per", "I-per"]
    reader = TagReader(Labels(names=given), [[0, 1, 2]])
    assert reader.read([0, 1, 2]) == ("O", "B-per", "I-per")
    assert reader.space([("O", "B-per")]).names == tuple(given)
    with pytest.raises(UnusableLabel, match=r"not one of data\.labels\.names"):
        reader.read([3])


@pytest.mark.causes("LabelsUnsuitable")
@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([[0, 1], [2]], r"numbers(.|\n)*spec\.data\.labels\.names"),
        ([["O", "O"]], "all words of the training rows have the tag 'O'"),
        ([[f"T{number}" for number in range(600)]], "600 tags are more than 512"),
    ],
)
def test_what_is_refused(cells: list[list[Any]], words: str) -> None:
    with pytest.raises(LabelsUnsuitable, match=words):
        names(cells)


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        (["O", "person"], "neither O nor a prefix"),
        (["O", ""], "a tag is empty"),
        ("B-per", "tags are no list"),
        (None, "tags are no list"),
        ([], "tags are no list"),
        ([None], "a tag is empty"),
        ([{"a": 1}], "label is no class"),
    ],
)
def test_tags_that_make_a_bad_row(cell: Any, kind: str) -> None:
    with pytest.raises(UnusableLabel, match=kind):
        TagReader(Labels(), BIO).read(cell)


def test_entities_are_counted_by_their_first_words() -> None:
    assert entity_counts({"O": 90, "B-a": 3, "I-a": 7, "I-b": 2}) == {"a": 3, "b": 2}
    assert entity_counts({"NOUN": 3, "VERB": 2}) == {"NOUN": 3, "VERB": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", '{"tokens": ["in", "Rio"], "tags": ["O", "B-loc"]}\n' * 2),
        (
            "x.json",
            '[{"tokens": ["in", "Rio"], "tags": ["O", "B-loc"]}, {"tokens": ["in", "Rio"], "tags": ["O", "B-loc"]}]',
        ),
        ("x.csv", "tokens,tags\n" + '"[""in"", ""Rio""]","[""O"", ""B-loc""]"\n' * 2),
        ("x.csv", "tokens,tags\n" + "\"['in', 'Rio']\",\"['O', 'B-loc']\"\n" * 2),
        ("x.conll", "in O\nRio B-loc\n\n" * 2),
    ],
)
def test_words_and_tags_of_all_formats(name: str, content: str, prepared: Prepare) -> None:
    rows = prepared(name, content).splits["train"]
    assert (list(rows.words), rows.labels, rows.texts) == ([("in", "Rio")] * 2, [("O", "B-loc")] * 2, ["in Rio"] * 2)


@pytest.mark.causes("ColumnMissing")
def test_a_column_of_another_name(prepared: Prepare) -> None:
    content = '{"tokens": ["in", "Rio"], "ner_tags": ["O", "B-loc"]}\n' * 2
    with pytest.raises(ColumnMissing, match=r"columns: \{tags: ner_tags\}"):
        prepared("x.jsonl", content)
    assert prepared("x.jsonl", content, columns={"tags": "ner_tags"}).labels.names == ("O", "B-loc", "I-loc")


def test_rows_that_do_not_fit_are_bad_rows(prepared: Prepare) -> None:
    lines = [
        *['{"tokens": ["in", "Rio"], "tags": ["O", "B-loc"]}'] * 2,
        '{"tokens": ["in", "Rio"], "tags": ["O"]}',
        '{"tokens": [], "tags": []}',
        '{"tokens": "in Rio", "tags": ["O", "B-loc"]}',
        '{"tokens": ["in", ["Rio"]], "tags": ["O", "B-loc"]}',
        '{"tokens": ["in", "R\\u0000o"], "tags": ["O", "B-loc"]}',
        '{"tokens": ["in", "\\ud800"], "tags": ["O", "B-loc"]}',
    ]
    report = prepared("x.jsonl", "\n".join(lines), maxBadRowRatio=1).report
    assert report.bad_rows == len(lines) - 2
    reasons = [row.reason for row in report.bad_row_examples]
    assert reasons[0] == "tokens and tags differ in number: 2 tokens and 1 tags"
    assert all(reason.startswith("tokens") for reason in reasons)


def test_the_report_counts_words_by_tag_and_warns_of_rare_types(prepared: Prepare) -> None:
    report = prepared("x.conll", "\n".join(["in O\nRio B-loc\nthere O\n"] * 30 + ["Ann B-per\n"])).report
    assert report.splits["train"].labels == {"O": 60, "B-loc": 30, "I-loc": 0, "B-per": 1, "I-per": 0}
    assert report.imbalance == 30
    assert report.problem_type == ""
    assert any("Fewer than 20 examples in the training rows: 'per' (1)" in warning for warning in report.warnings)
