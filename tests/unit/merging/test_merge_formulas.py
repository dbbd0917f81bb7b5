"""The arithmetic of merging, against PEFT's and against what the papers say."""

from collections.abc import Callable

import torch
from hypothesis import given
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


def test_ties_and_dare_are_those_of_peft() -> None:
    torch.manual_seed(3)
    base, tuned = torch.randn(8, 6), [torch.randn(8, 6) for _ in range(3)]
    changes, shares = [weight - base for weight in tuned], torch.tensor([0.5, 0.25, 0.25])
    expected: dict[Combination, Callable[[], torch.Tensor]] = {
        Combination.TIES: lambda: merge_utils.ties(changes, shares * 3, 0.3),
        Combination.DARE_LINEAR: lambda: merge_utils.dare_linear(changes, shares, 0.3),
        Combination.DARE_TIES: lambda: merge_utils.dare_ties(changes, shares * 3, 0.3),
    }
    for combination, formula in expected.items():
        merge = merge_of(2, 1, 1, combination=combination, density=0.3, scale=0.5)
        torch.manual_seed(11)
        merged = combine(base, tuned, merge)
        torch.manual_seed(11)
        assert torch.allclose(merged, base + 0.5 * formula(), atol=1e-6), combination


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
