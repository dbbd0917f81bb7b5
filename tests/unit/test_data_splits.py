from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.tasks import ProblemType
from finetune_trainer.data.splits import draw_keys, draw_rows, split_rows
from finetune_trainer.data.stratification import strata

SHARES = {"validation": 0.1, "test": 0.2}


def split(
    labels: list[str], groups: list[int] | None = None, shares: dict[str, float] = SHARES, seed: int = 42
) -> list[int]:
    keys = draw_keys([f"row {index}" for index in range(len(labels))], seed)
    numbers = np.asarray(groups if groups is not None else range(len(labels)), dtype=np.int64)
    alike = strata(ProblemType.SINGLE_LABEL, labels, stratify=True)
    return split_rows(keys, numbers, alike, [frozenset({label}) for label in labels], shares).tolist()


def test_shares_are_exact_overall_and_in_each_class() -> None:
    labels = ["a"] * 200 + ["b"] * 100 + ["c"] * 50
    assigned = split(labels)
    assert Counter(assigned) == {0: 245, 1: 35, 2: 70}
    for label, rows in Counter(labels).items():
        assert sum(1 for la, number in zip(labels, assigned, strict=True) if la == label and number == 2) == rows / 5


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    labels = ["a", "b"] * 50
    assert split(labels) == split(labels)
    assert split(labels) != split(labels, seed=1)
    keys = draw_keys([f"row {index}" for index in range(100)], 42)
    order = np.random.default_rng(0).permutation(100)
    alike = strata(ProblemType.SINGLE_LABEL, labels, stratify=True)
    classes = [frozenset({label}) for label in labels]
    shuffled = split_rows([keys[i] for i in order], np.arange(100), alike[order], [classes[i] for i in order], SHARES)
    assert shuffled.tolist() == np.asarray(split(labels))[order].tolist()


def test_a_class_of_one_row_stays_in_training() -> None:
    labels = ["common"] * 50 + ["rare"]
    assert split(labels)[50] == 0


@given(
    st.lists(st.tuples(st.sampled_from("aaaabbc"), st.integers(0, 25)), min_size=1, max_size=80),
    st.floats(0.01, 0.45),
    st.floats(0.01, 0.45),
    st.integers(0, 2**31 - 1),
)
def test_splits_partition_rows_keep_groups_whole_and_classes_in_training(
    rows: list[tuple[str, int]], validation: float, test: float, seed: int
) -> None:
    labels, groups = [label for label, _ in rows], [group for _, group in rows]
    assigned = split(labels, groups, {"validation": validation, "test": test}, seed)
    assert set(assigned) <= {0, 1, 2}
    assert len(assigned) == len(rows)
    for group in set(groups):
        assert len({number for number, g in zip(assigned, groups, strict=True) if g == group}) == 1
    assert {label for label, number in zip(labels, assigned, strict=True) if number == 0} == set(labels)
    largest = max(Counter(groups).values())
    for number, share in ((1, validation), (2, test)):
        assert assigned.count(number) <= max(1, round(share * len(rows))) + largest


@given(st.lists(st.sampled_from("abcd"), min_size=30, max_size=200), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_without_groups_shares_are_exact_where_classes_allow(labels: list[str], validation: float, test: float) -> None:
    assigned = Counter(split(labels, shares={"validation": validation, "test": test}))
    free = len(labels) - len(set(labels))
    wanted = round(validation * len(labels))
    assert assigned[1] == min(wanted, free)
    assert assigned[2] == min(round(test * len(labels)), free - assigned[1])


def test_groups_larger_than_the_quotas_of_classes_still_fill_the_splits() -> None:
    labels = ["a", "a", "b", "b"] * 10
    groups = [index // 4 for index in range(40)]
    assert Counter(split(labels, groups, {"validation": 0.1, "test": 0.1})) == {0: 32, 1: 4, 2: 4}


def test_one_group_of_everything_cant_be_split() -> None:
    assert set(split(["a", "b"] * 20, [0] * 40)) == {0}


def test_numbers_are_spread_by_their_quantiles() -> None:
    values = [float(n) for n in range(400)]
    alike = strata(ProblemType.REGRESSION, values, stratify=True)
    assert np.bincount(alike).tolist() == [40] * 10
    assert set(strata(ProblemType.REGRESSION, values, stratify=False).tolist()) == {0}
    assert set(strata(ProblemType.REGRESSION, values[:10], stratify=True).tolist()) == {0}


def test_label_sets_count_by_their_rarest_label() -> None:
    labels = [("a", "rare"), ("a",), ("a", "b"), ("a", "b"), ()]
    numbers = strata(ProblemType.MULTI_LABEL, labels, stratify=True).tolist()
    assert len(set(numbers)) == 4
    assert numbers[2] == numbers[3]


@pytest.mark.parametrize(("wanted", "drawn"), [(10, 10), (2, 2), (1, 1), (1000, 100)])
def test_drawing_rows_keeps_proportions_and_order(wanted: int, drawn: int) -> None:
    labels = ["a"] * 70 + ["b"] * 29 + ["c"]
    alike = strata(ProblemType.SINGLE_LABEL, labels, stratify=True)
    rows = draw_rows(draw_keys(map(str, range(100)), 42), alike, wanted).tolist()
    assert len(rows) == drawn
    assert rows == sorted(rows)
    if wanted == 10:
        assert Counter(labels[row] for row in rows) == {"a": 7, "b": 2, "c": 1}
