from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from finetune_trainer.data.near_duplicates import NearDuplicates
from finetune_trainer.data.shingles import plain, shingle_hashes
from finetune_trainer.data.text_similarity import SIMILAR, similarity

SENTENCE = "the parcel never came and nobody answers when I write to the help desk about my missing order number"
WORDS = SENTENCE.split(" ")


def near_duplicate_groups(texts: list[str]) -> NDArray[np.int64]:
    return NearDuplicates(texts).groups


def test_case_punctuation_and_small_edits_make_no_difference() -> None:
    text = "My parcel never arrived, and nobody at the help desk answers my letters about it."
    other = "Where can I change the language of the invoices that are sent to me each month?"
    groups = near_duplicate_groups([text, other, text.upper().replace(",", " -"), text.replace("letters", "letter")])
    assert groups.tolist() == [0, 1, 0, 0]


def test_texts_that_only_share_a_beginning_stay_apart() -> None:
    groups = near_duplicate_groups(["I want to cancel my subscription now", "I want to cancel my flight to Rome"])
    assert groups.tolist() == [0, 1]


def test_short_and_empty_texts() -> None:
    assert near_duplicate_groups(["ok", "OK!", "no", "", "...", "好"]).tolist() == [0, 0, 2, 3, 4, 5]
    assert near_duplicate_groups([]).tolist() == []


def test_many_copies_make_one_group() -> None:
    groups = near_duplicate_groups([" ".join(WORDS)] * 500 + ["something else entirely"])
    assert groups.tolist() == [0] * 500 + [500]


def test_no_pair_above_the_threshold_is_missed_and_none_below_is_joined() -> None:
    rng = np.random.default_rng(7)
    known = ["".join(rng.choice(list("aeioulnrst"), 5)) for _ in range(400)]
    texts = []
    for _ in range(60):
        words = list(rng.choice(known, len(WORDS)))
        texts += [" ".join(words), " ".join([*words[:-1], "other"]), " ".join([*words[:9], "changed", *words[10:]])]
    pieces = [np.unique(shingle_hashes(plain([text]), 5)[0]) for text in texts]
    groups = near_duplicate_groups(texts)
    alike = {(i, j) for i, j in combinations(range(len(texts)), 2) if similarity(pieces[i], pieces[j]) >= SIMILAR}
    assert len(alike) > 50
    assert all(groups[i] == groups[j] for i, j in alike)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group).tolist()
        linked = {members[0]}
        while more := {j for i in linked for j in members if j not in linked and (min(i, j), max(i, j)) in alike}:
            linked |= more
        assert linked == set(members)


@given(st.lists(st.text(), max_size=12))
def test_any_texts_are_grouped_by_their_first_member(texts: list[str]) -> None:
    groups = near_duplicate_groups(texts)
    assert all(groups[group] == group <= index for index, group in enumerate(groups.tolist()))
    assert all(groups[texts.index(text)] == groups[index] for index, text in enumerate(texts))
