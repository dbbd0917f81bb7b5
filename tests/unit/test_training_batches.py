import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from finetune_trainer.data.tokenising.batches import BatchPlan, cut_by_tokens, cut_cheapest, volume_of

row_lengths = st.lists(st.integers(1, 300), min_size=1, max_size=400).map(lambda rows: np.asarray(rows, np.int64))


def plan_of(
    lengths: NDArray[np.int64], batch: int = 16, device: int = 0, budget: int = 2_048, seed: int = 1
) -> BatchPlan:
    return BatchPlan(lengths, batch, device, budget, seed)


def as_lists(batches: list[NDArray[np.int64]]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@given(lengths=row_lengths, batch=st.integers(1, 40), seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 50))
@settings(deadline=None)
def test_every_epoch_has_every_row_once_in_as_few_steps_as_can_be(
    lengths: NDArray[np.int64], batch: int, seed: int, epoch: int
) -> None:
    plan = plan_of(lengths, batch, seed=seed)
    batches = plan.epoch(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == plan.steps_per_epoch == -(-len(lengths) // batch)
    assert max(len(rows) for rows in batches) <= batch
    assert as_lists(batches) == as_lists(plan_of(lengths, batch, seed=seed).epoch(epoch))


@given(lengths=row_lengths, device=st.integers(0, 9), budget=st.integers(1, 2_000))
@settings(deadline=None)
def test_forward_passes_keep_to_the_budget(lengths: NDArray[np.int64], device: int, budget: int) -> None:
    plan = plan_of(lengths, 32, device, budget)
    for batch in plan.epoch(0):
        parts = list(plan.micro_batches(batch))
        assert sorted(np.concatenate(parts).tolist()) == sorted(batch.tolist())
        for part in parts:
            assert len(part) == 1 or len(part) * lengths[part].max() <= budget
            assert device == 0 or len(part) <= device


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 33])
def test_few_rows(rows: int) -> None:
    plan = plan_of(np.arange(1, rows + 1))
    for epoch in range(3):
        assert sorted(np.concatenate(plan.epoch(epoch)).tolist()) == list(range(rows))


def test_epochs_and_seeds_differ() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 200)
    epochs = [as_lists(plan_of(lengths).epoch(number)) for number in range(4)]
    together = [{frozenset(batch) for batch in epoch} for epoch in epochs]
    assert len({repr(epoch) for epoch in epochs}) == 4
    assert len(set.intersection(*together)) <= 1, "the same rows meet in every epoch"
    assert as_lists(plan_of(lengths, seed=2).epoch(0)) != epochs[0]


def test_even_a_small_data_set_sees_other_batches_in_each_epoch() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 64)
    first, second = ({frozenset(batch) for batch in as_lists(plan_of(lengths).epoch(n))} for n in range(2))
    assert first != second


def test_long_and_short_batches_are_mixed() -> None:
    """Sorted batches would be a curriculum that nobody asked for."""
    lengths = np.arange(1, 1_601)
    means = np.asarray([lengths[batch].mean() for batch in plan_of(lengths).epoch(0)])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.4
    assert 0.3 < np.mean(np.diff(means) < 0) < 0.7


def test_little_is_padded() -> None:
    lengths = np.clip(np.random.default_rng(0).lognormal(3.3, 0.6, 2_000).astype(np.int64), 5, 256)
    plan = plan_of(lengths)
    parts = [part for batch in plan.epoch(0) for part in plan.micro_batches(batch)]
    unsorted = [np.arange(start, start + 16) for start in range(0, len(lengths), 16)]
    assert volume_of(parts, lengths).padding_ratio < 0.1
    assert volume_of(unsorted, lengths).padding_ratio > 0.4, "the lengths are too alike to tell"


def test_a_row_over_the_budget_goes_alone() -> None:
    parts = list(cut_by_tokens(np.arange(3), np.asarray([5, 900, 5]), budget=100))
    assert as_lists(parts) == [[1], [0, 2]]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=7), st.integers(0, 400))
def test_the_cheapest_cut_is_the_cheapest_of_all(values: list[int], pass_cost: int) -> None:
    lengths = np.asarray(sorted(values, reverse=True))

    def cost(parts: list[NDArray[np.int64]]) -> int:
        return sum(int(lengths[part].max()) * len(part) + pass_cost for part in parts)

    rows = np.arange(len(lengths))
    found = cut_cheapest(rows, lengths, pass_cost)
    assert np.concatenate(found).tolist() == rows.tolist()
    cuts = itertools.product([False, True], repeat=len(rows) - 1)
    everything = [np.split(rows, [place + 1 for place, cut in enumerate(places) if cut]) for places in cuts]
    assert cost(found) == min(cost(parts) for parts in everything)


def test_a_step_is_cut_only_where_it_pays() -> None:
    assert [part.tolist() for part in cut_cheapest(np.arange(4), np.asarray([200, 190, 20, 20]), 128)] == [
        [0, 1],
        [2, 3],
    ]
    assert len(cut_cheapest(np.arange(4), np.asarray([40, 38, 20, 20]), 128)) == 1
