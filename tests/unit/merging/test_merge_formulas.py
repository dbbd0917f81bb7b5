"""The arithmetic of merging, against PEFT's and against what the papers say."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from peft.utils import merge_utils

from finetune_api.merge import Combination, Merge
from finetune_trainer.models.combining import combine, weighted_mean


def merge_of(*weights: float, combination: str = "Linear", density: float | None = None, scale: float = 1) -> Merge:
    sources = [{"uri": f"file:///{number}", "weight": weight} for number, weight in enumerate(weights)]
    return Merge.model_validate({"sources": sources, "combination": combination, "density": density, "scale": scale})


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=16), st.integers(0, 100))
def test_the_mean_of_equal_weights_has_the_same_bits(weights: list[float], seed: int) -> None:
    torch.manual_seed(seed)
    one = torch.randn(64) * 10.0 ** torch.randint(-6, 6, (64,))
    shares = merge_of(*weights).shares
    assert abs(sum(shares) - 1) < 1e-9
    assert weighted_mean([one] * len(weights), shares).equal(one)


def test_linear_with_a_scale() -> None:
    base, one, two = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0]), torch.tensor([1.0, 6.0])
    merged = combine(base, [one, two], merge_of(1, 3, scale=2))
    assert merged.tolist() == [1 + 2 * 0.25, 2 + 2 * 0.75 * 4]


def test_ties_by_hand() -> None:
    """Each keeps its two largest changes; of those, the ones with the sign of the sum count; their mean is taken."""
    base = torch.zeros(4)
    one, two = torch.tensor([4.0, 3.0, 0.5, 0.1]), torch.tensor([-1.0, 5.0, -2.0, 0.2])
    merged = combine(base, [one, two], merge_of(1, 1, combination="TIES", density=0.5))
    assert merged.tolist() == [4.0, 4.0, -2.0, 0.0]


def test_ties_and_dare_with_equal_weights_are_those_of_peft() -> None:
    torch.manual_seed(3)
    base, tuned = torch.randn(8, 6), [torch.randn(8, 6) for _ in range(3)]
    changes, shares = [weight - base for weight in tuned], torch.full((3,), 1 / 3)
    expected: dict[Combination, Callable[[], torch.Tensor]] = {
        Combination.TIES: lambda: merge_utils.ties(changes, shares * 3, 0.3),
        Combination.DARE_LINEAR: lambda: merge_utils.dare_linear(changes, shares, 0.3),
        Combination.DARE_TIES: lambda: merge_utils.dare_ties(changes, shares * 3, 0.3),
    }
    for combination, formula in expected.items():
        merge = merge_of(2, 2, 2, combination=combination, density=0.3, scale=0.5)
        torch.manual_seed(11)
        merged = combine(base, tuned, merge)
        torch.manual_seed(11)
        assert torch.allclose(merged, base + 0.5 * formula(), atol=1e-6), combination


@pytest.mark.parametrize("combination", ["TIES", "DARETIES"])
def test_a_change_that_one_source_alone_made_is_kept_as_it_is(combination: str) -> None:
    base = torch.zeros(4)
    one, two = torch.tensor([1.0, 0.9, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0, 0.9])
    merged = combine(base, [one, two], merge_of(3, 1, combination=combination, density=1))
    assert merged.tolist() == pytest.approx([1, 0.9, 1, 0.9])


def test_a_large_weight_does_not_amplify() -> None:
    sources = [torch.tensor([1.0]), *[torch.tensor([0.0])] * 15]
    merged = combine(torch.zeros(1), sources, merge_of(100, *[1] * 15, combination="TIES", density=1))
    assert merged.item() == pytest.approx(1)


@pytest.mark.parametrize("combination", ["TIES", "DARETIES"])
def test_the_sign_is_elected_by_weight(combination: str) -> None:
    """A change of +1 with weight 100 outvotes one of -1.1 with weight 1, and vice versa."""
    one, two = torch.tensor([1.0]), torch.tensor([-1.1])
    merge = merge_of(100, 1, combination=combination, density=1)
    assert combine(torch.zeros(1), [one, two], merge).item() == pytest.approx(1)
    assert combine(torch.zeros(1), [two, one], merge).item() == pytest.approx(-1.1)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=6), st.integers(0, 100), st.sampled_from([0.25, 0.5, 1]))
def test_ties_entry_by_entry(weights: list[float], seed: int, density: float) -> None:
    """Against the paper's procedure in plain Python: trim, elect the sign by weight, mean of those that agree."""
    torch.manual_seed(seed)
    changes = [torch.randn(8).round(decimals=3) for _ in weights]
    kept = [
        [value if rank < round(density * 8) else 0.0 for value, rank in zip(change, ranks_of(change), strict=True)]
        for change in (change.tolist() for change in changes)
    ]
    merged = combine(torch.zeros(8), changes, merge_of(*weights, combination="TIES", density=density))
    assert merged.tolist() == pytest.approx(
        [elected_mean(column, weights) for column in zip(*kept, strict=True)], abs=1e-4
    )


def test_of_a_tie_plus_is_elected() -> None:
    changes = [torch.tensor([0.392]), torch.tensor([-0.392])]
    assert combine(torch.zeros(1), changes, merge_of(1, 1, combination="TIES", density=1)).item() == pytest.approx(
        0.392
    )


def ranks_of(change: list[float]) -> list[int]:
    """The place of each entry by size, the largest first."""
    order = sorted(range(len(change)), key=lambda place: -abs(change[place]))
    return [order.index(place) for place in range(len(change))]


def elected_mean(column: tuple[float, ...], weights: list[float]) -> float:
    """The mean of the changes of the elected sign; of a tie, plus is elected, as PEFT and mergekit do."""
    vote = sum(weight * change for weight, change in zip(weights, column, strict=True))
    assume(vote == 0 or abs(vote) > 1e-4 * sum(weights))  # FP32 may see a tie, or the other sign
    elected = 1 if vote >= 0 else -1
    agree = [(weight, change) for weight, change in zip(weights, column, strict=True) if change * elected > 0]
    return sum(weight * change for weight, change in agree) / sum(weight for weight, _ in agree) if agree else 0.0


def test_dare_that_drops_nothing_is_linear() -> None:
    torch.manual_seed(5)
    base, tuned = torch.randn(10), [torch.randn(10), torch.randn(10)]
    kept = combine(base, tuned, merge_of(1, 4, combination="DARELinear", density=1))
    assert torch.allclose(kept, combine(base, tuned, merge_of(1, 4)), atol=1e-6)


def test_a_head_without_a_base_is_a_mean_whatever_the_combination() -> None:
    tuned = [torch.tensor([1.0, -3.0]), torch.tensor([3.0, 1.0])]
    for combination in Combination:
        density = None if combination is Combination.LINEAR else 0.1
        assert combine(None, tuned, merge_of(1, 1, combination=combination, density=density, scale=3)).tolist() == [
            2,
            -1,
        ]
