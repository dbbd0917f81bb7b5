"""Columns of CoNLL files: where words and tags stand, and what is asked where that is not clear."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data, DataFormat
from finetune_api.failures import ColumnMissing
from finetune_api.tasks import Task
from finetune_trainer.data import prepare
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.storage import Site

Prepare = Callable[..., Prepared]
SENTENCE = [("Anna", "PROPN", "B-PER"), ("malt", "VERB", "O"), ("#", "SYM", "O"), ("Ulm", "PROPN", "B-LOC")]
WORDS = tuple(word for word, _, _ in SENTENCE)
TAGS = tuple(tag for _, _, tag in SENTENCE)
PARTS = tuple(part for _, part, _ in SENTENCE)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    """A function that prepares sentences whose lines are written by a format of number, word, part and tag."""

    def run(line: str, before: str = "", **fields: Any) -> Prepared:
        lines = [
            line.format(
                at=at,
                before=at - 1,
                word=word,
                lower=word.lower(),
                part=part,
                tag=tag,
                space="SpaceAfter=No" if at == 3 else "_",
                node={1: "1-2\tAnnamalt\t_\n", 3: "2.1\tnix\t_\n"}.get(at, ""),
            )
            for at, (word, part, tag) in enumerate(SENTENCE, start=1)
        ]
        (tmp_path / "x.conll").write_text(("\n".join([*filter(None, [before]), *lines, "", ""])) * 3, encoding="utf-8")
        settings = {"split": {"validation": 0, "test": 0}, "clean": {"dropDuplicates": False}} | fields
        data = Data.model_validate({"train": [{"uri": "file://./x.conll", "format": DataFormat.CONLL}], **settings})
        return prepare(data, site=Site(tmp_path), task=Task.TOKEN_CLASSIFICATION)

    return run


UNIVERSAL = "{at}\t{word}\t{lower}\t{part}\t_\t_\t{before}\tdep\t_\t{space}"
"""A line of CoNLL-U."""


LAYOUTS = {
    "word, tag": "{word} {tag}",
    "CoNLL-2003": "{word} {part} B-NP {tag}",
    "tag, word": "{tag}\t{word}",
    "number, word, tag": "{at}\t{word}\t{tag}",
    "number from 0": "{before} {word} {tag}",
    "UNER": "{at}\t{word}\t{tag}\t-\tanna",
    "word, tag, blank": "{word} {tag} _",
    "word, part, tag, blank": "{word} {part} {tag} _",
    "MultiCoNER": "{word} _ _ {tag}",
    "tabs at the end": "{word}\t{tag}\t",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_columns_are_found(layout: str, prepared: Prepare) -> None:
    rows = prepared(LAYOUTS[layout]).splits["train"]
    assert (list(rows.words), rows.labels) == ([WORDS] * 3, [TAGS] * 3)


@pytest.mark.parametrize(
    ("line", "columns", "tags"),
    [
        ("{at}\t{word}\t{tag}\tB-LOC", {"tags": "3"}, TAGS),
        ("{at}\t{word}\t{tag}\tB-LOC", {"tokens": "2", "tags": "3"}, TAGS),
        ("{tag} {part} {word}", {"tokens": "3", "tags": "1"}, TAGS),
        (UNIVERSAL, {"tags": "UPOS"}, PARTS),
        (UNIVERSAL, {"tags": "4"}, PARTS),
        (UNIVERSAL, {"tokens": "LEMMA", "tags": "UPOS"}, PARTS),
    ],
)
def test_the_columns_are_named(line: str, columns: dict[str, str], tags: tuple[str, ...], prepared: Prepare) -> None:
    rows = prepared(line, columns=columns).splits["train"]
    lower = columns.get("tokens") == "LEMMA"
    assert list(rows.words) == [tuple(word.lower() for word in WORDS) if lower else WORDS] * 3
    assert rows.labels == [tags] * 3


def test_columns_of_conll_u_plus(prepared: Prepare) -> None:
    found = prepared(
        "{at}\t{word}\t{part}\t{tag}",
        before="# global.columns = ID FORM UPOS NER",
        columns={"tags": "NER"},
    )
    assert (list(found.splits["train"].words), found.splits["train"].labels) == ([WORDS] * 3, [TAGS] * 3)


def test_ranges_and_empty_nodes_are_passed_over(prepared: Prepare) -> None:
    assert list(prepared("{node}{at}\t{word}\t{tag}").splits["train"].words) == [WORDS] * 3


@pytest.mark.causes("ColumnMissing")
@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("{at}\t{word}\t{tag}\tB-LOC", r"3 \(B-PER, B-LOC\), 4 \(B-LOC", '{tags: "3"}'),
        (UNIVERSAL, r"UPOS \(PROPN, VERB\)", '{tags: "UPOS"}'),
        ("{word}\t_\t_", "its last column is '_' for every word", '{tags: "2"}'),
        (
            "bc/cctv/00\t0\t{before}\t{word}\t{part}\t-",
            "its first column is 'bc/cctv/00' throughout a sentence",
            '{tokens: "4"}',
        ),
    ],
)
def test_what_is_not_clear_is_asked(line: str, message: str, hint: str, prepared: Prepare) -> None:
    with pytest.raises(ColumnMissing, match=message) as failure:
        prepared(line)
    assert hint in failure.value.problems[0].hint
    assert failure.value.problems[0].where == "x.conll"


@pytest.mark.causes("ColumnMissing")
def test_a_column_that_is_not_there(prepared: Prepare) -> None:
    with pytest.raises(ColumnMissing, match=r"no column '7' in x\.conll; its columns are: 'tokens', 'tags', '1', '2'"):
        prepared(LAYOUTS["word, tag"], columns={"tags": "7"})
