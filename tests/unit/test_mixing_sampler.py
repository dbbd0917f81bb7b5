"""Which rows an epoch takes: shares of sources, easy rows first, one source after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from finetune_api.data import RowOrder
from finetune_trainer.data.sampler import Sampler, apportion
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.training.state.training_state import plan_of

SOURCES = np.repeat([0, 1], [90, 10])
LENGTHS = np.arange(1, 101)


def plan(
    order: RowOrder = RowOrder.SHUFFLED,
    shares: tuple[float, ...] | None = None,
    *,
    seed: int = 1,
    rows_in_all: int = 300,
    difficulty: NDArray[np.float64] | None = None,
) -> BatchPlan:
    hard = LENGTHS.astype(np.float64) if difficulty is None else difficulty
    course = Sampler(order, SOURCES, hard, seed, shares, rows_in_all)
    return BatchPlan(LENGTHS, 16, 0, 2_048, seed, course=course)


def rows_of(batches: BatchPlan, epoch: int) -> list[int]:
    return [int(row) for row in np.concatenate(batches.epoch(epoch))]


@given(weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=16), total=st.integers(16, 5_000))
def test_parts_add_up_and_none_is_empty(weights: list[float], total: int) -> None:
    parts = apportion(weights, total)
    assert sum(parts) == total
    assert min(parts) >= 1
    if total * min(weights) / sum(weights) >= 1:
        assert max(abs(part - total * w / sum(weights)) for part, w in zip(parts, weights, strict=True)) < 1


def test_an_epoch_keeps_its_size_and_the_shares_whatever_the_sizes() -> None:
    batches = plan(shares=(0.25, 0.75))
    for epoch in range(3):
        rows = rows_of(batches, epoch)
        assert len(batches.epoch(epoch)) == batches.steps_per_epoch == 7
        assert np.bincount(SOURCES[rows]).tolist() == [25, 75]


def test_no_row_comes_again_before_all_of_its_source_have_come() -> None:
    batches = plan(shares=(0.5, 0.5))
    large = [row for epoch in range(9) for row in rows_of(batches, epoch) if row < 90]
    counts = np.bincount(large)
    assert counts[:90].tolist() == [5] * 90, "9 epochs of 50 rows are 5 passes through 90 rows"
    small = np.bincount([row for row in rows_of(batches, 0) if row >= 90])
    assert small[90:].tolist() == [5] * 10


@pytest.mark.parametrize("order", list(RowOrder))
@pytest.mark.parametrize("shares", [None, (0.3, 0.7)])
def test_any_epoch_can_be_found_again(order: RowOrder, shares: tuple[float, ...] | None) -> None:
    once = plan(order, shares)
    for epoch in (2, 0, 1):
        assert rows_of(plan(order, shares), epoch) == rows_of(once, epoch)
    if order is not RowOrder.AS_GIVEN:
        assert rows_of(plan(order, shares, seed=2), 1) != rows_of(once, 1)


def test_without_shares_every_row_comes_once_as_ever() -> None:
    alone = BatchPlan(LENGTHS, 16, 0, 2_048, 1)
    assert rows_of(plan(), 0) == rows_of(alone, 0)
    assert sorted(rows_of(plan(RowOrder.EASY_FIRST), 1)) == list(range(100))


def test_easy_rows_come_first_in_the_first_epoch_alone() -> None:
    hard = np.asarray([0, 1] * 50, np.float64)
    first = hard[rows_of(plan(RowOrder.EASY_FIRST, difficulty=hard), 0)]
    assert first.tolist() == [0.0] * 50 + [1.0] * 50
    assert rows_of(plan(RowOrder.EASY_FIRST), 0) == list(range(100)), "short before long"
    later = hard[rows_of(plan(RowOrder.EASY_FIRST, difficulty=hard), 1)]
    assert later[:50].sum() > 10


def test_equally_hard_rows_are_shuffled() -> None:
    same = np.zeros(100)
    assert rows_of(plan(RowOrder.EASY_FIRST, difficulty=same), 0) != list(range(100))


def test_stages_take_all_epochs_of_a_source_before_the_next() -> None:
    whole = [row for epoch in range(3) for row in rows_of(plan(RowOrder.AS_GIVEN), epoch)]
    assert whole == [*list(range(90)) * 3, *list(range(90, 100)) * 3]


def test_weights_say_how_long_a_stage_is() -> None:
    batches = plan(RowOrder.AS_GIVEN, (0.5, 0.5), rows_in_all=200)
    whole = [row for epoch in range(2) for row in rows_of(batches, epoch)]
    assert SOURCES[whole].tolist() == [0] * 100 + [1] * 100
    assert whole[100:] == list(range(90, 100)) * 10


def test_a_state_of_another_course_does_not_fit() -> None:
    assert plan_of(21, plan()) == plan_of(21, plan())
    assert plan_of(21, plan()) != plan_of(21, plan(difficulty=np.zeros(100)))
    assert plan_of(21, plan()) != plan_of(21, BatchPlan(LENGTHS, 16, 0, 2_048, 1))
