"""Entities in tags: where they begin and end, and how many were found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.details import TaggedPiece
from finetune_trainer.evaluation.spans import Span, count_found, spans
from finetune_trainer.evaluation.tagged import pieces

TAG = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "xy")])


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("", []),
        ("O O", []),
        ("B-x I-x O", [("x", 0, 2)]),
        ("B-x B-x", [("x", 0, 1), ("x", 1, 2)]),
        ("B-x I-y", [("x", 0, 1), ("y", 1, 2)]),
        ("O I-x I-x O", [("x", 1, 3)]),
        ("I-x O I-x", [("x", 0, 1), ("x", 2, 3)]),
        ("B-x I-x E-x I-x", [("x", 0, 3), ("x", 3, 4)]),
        ("S-x S-x O B-x E-x", [("x", 0, 1), ("x", 1, 2), ("x", 3, 5)]),
        ("U-x B-x L-x", [("x", 0, 1), ("x", 1, 3)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)]),
        ("NOUN NOUN VERB", [("NOUN", 0, 1), ("NOUN", 1, 2), ("VERB", 2, 3)]),
    ],
)
def test_entities(tags: str, found: list[tuple[str, int, int]]) -> None:
    assert spans(tags.split()) == [Span(*one) for one in found]


def test_an_entity_counts_where_all_of_it_is_right() -> None:
    expected = ["B-per", "I-per", "O", "B-loc", "O", "B-org"]
    predicted = ["B-per", "O", "O", "B-loc", "B-loc", "B-per"]
    found = count_found([(expected, predicted)])
    assert found.figure("precision") == pytest.approx(1 / 4)
    assert found.figure("recall") == pytest.approx(1 / 3)
    assert found.figure("f1") == pytest.approx(2 / 7)
    assert found.figure("f1", "loc") == pytest.approx(2 / 3)
    assert found.figure("recall", "per") == 0
    assert found.figure("recall", "event") is None
    assert [(row.label, row.support) for row in found.rows(["loc", "event"])] == [("loc", 1), ("event", 0)]


def test_figures_agree_with_those_of_seqeval() -> None:
    """The tags of seqeval's own README, and its figures for them."""
    expected = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    predicted = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = count_found(zip(expected, predicted, strict=True))
    assert found.figure("f1") == pytest.approx(0.5)
    assert (found.figure("f1", "MISC"), found.figure("f1", "PER")) == (0, 1)


@given(st.lists(TAG, max_size=12))
def test_entities_are_in_order_and_cover_all_that_is_tagged(tags: list[str]) -> None:
    found = spans(tags)
    covered = [word for span in found for word in range(span.start, span.end)]
    assert covered == [word for word, tag in enumerate(tags) if tag != "O"]


@given(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=12))
def test_pieces_hold_the_whole_text(pairs: list[tuple[str, str]]) -> None:
    words = [f"w{at}" for at in range(len(pairs))]
    found = pieces(words, [one for one, _ in pairs], [other for _, other in pairs])
    assert "".join(f"{' ' if piece.spaced else ''}{piece.text}" for piece in found) == " ".join(words)
    assert all(piece.right for piece in found) == (spans([a for a, _ in pairs]) == spans([b for _, b in pairs]))


def test_pieces_of_a_text() -> None:
    words, expected = ["in", "天", "津"], ["O", "B-LOC", "I-LOC"]
    assert pieces(words, expected, ["O", "B-LOC", "O"]) == [
        TaggedPiece(text="in"),
        TaggedPiece(text="天", expected="LOC", predicted="LOC", right=False),
        TaggedPiece(text="津", expected="LOC", right=False),
    ]
