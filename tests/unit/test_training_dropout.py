import pytest
import torch
from torch import nn

from finetune_trainer.training.speedups.dropout import ByteDropout, fast_dropout

MANY = 200_000


def dropped(p: float, values: torch.Tensor, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return ByteDropout(p).train()(values)  # type: ignore[no-any-return]


@pytest.mark.parametrize("p", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_share_and_expectation(p: float) -> None:
    kept = dropped(p, torch.ones(MANY))
    share = float((kept == 0).float().mean())
    assert share == pytest.approx(round(p * 256) / 256, abs=0.004)
    assert share == pytest.approx(p, abs=0.007)
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)
    assert len(kept.unique()) == 2, "what stays is scaled by one factor"


def test_all_eight_bytes_of_a_word_drop_alike() -> None:
    """A generator of 63 bits would leave the top bit of every eighth byte at 0 and drop it twice as often."""
    zeros = (dropped(0.25, torch.ones(MANY)).view(-1, 8) == 0).float().mean(dim=0)
    assert torch.allclose(zeros, torch.full((8,), 0.25), atol=0.012)


def test_neighbours_are_independent() -> None:
    zeros = (dropped(0.5, torch.ones(MANY)) == 0).float()
    for distance in (1, 2, 4, 8, 16):
        both = float((zeros[:-distance] * zeros[distance:]).mean())
        assert both == pytest.approx(0.25, abs=0.006)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 11), (0, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert dropped(0.4, torch.ones(shape)).shape == shape


def test_extremes() -> None:
    ones = torch.ones(1_000)
    assert dropped(0.0, ones).equal(ones)
    assert dropped(0.001, ones).equal(ones), "less than one in 256 rounds to nothing"
    assert dropped(1.0, ones).equal(torch.zeros(1_000))
    assert ByteDropout(0.5).eval()(ones) is ones


def test_values_that_are_not_contiguous() -> None:
    grid = torch.arange(1.0, 13.0).reshape(3, 4)
    kept = dropped(0.5, grid.T)
    assert torch.equal(kept[kept != 0], grid.T[kept != 0] * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_masked_and_scaled_as_the_values(dtype: torch.dtype) -> None:
    values = torch.ones(1_000, dtype=dtype, requires_grad=True)
    kept = dropped(0.3, values)
    assert kept.dtype is dtype
    kept.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, kept)


def test_seeds() -> None:
    ones = torch.ones(1_000)
    assert dropped(0.5, ones, seed=4).equal(dropped(0.5, ones, seed=4))
    assert not dropped(0.5, ones, seed=4).equal(dropped(0.5, ones, seed=5))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.off = nn.Dropout(0.1), nn.Dropout(0.0)
        self.adapters = nn.ModuleDict({"default": nn.Dropout(0.05)})
        self.block = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))


def test_modules_are_swapped_and_put_back() -> None:
    model = Model().train()
    before = dict(model.named_modules())
    with fast_dropout(model):
        inside = dict(model.named_modules())
        fast = {name for name, module in inside.items() if type(module) is ByteDropout}
        assert fast == {"first", "adapters.default", "block.1"}, "a dropout of 0 has no use for it"
        assert inside["first"].p == 0.1, "attention reads it"
        model.eval()
    assert dict(model.named_modules()) == before
    assert not any(module.training for module in model.modules()), "the mode inside the block stays"


def test_modes_of_single_modules_are_kept() -> None:
    model = Model().train()
    model.first.eval()
    with fast_dropout(model):
        assert not model.first.training
        assert model.block[1].training
    assert not model.first.training
    assert model.block[1].training


def test_modules_are_put_back_after_a_failure() -> None:
    model = Model()
    first = model.first
    with pytest.raises(RuntimeError, match="stop"), fast_dropout(model):
        raise RuntimeError("stop")
    assert model.first is first
