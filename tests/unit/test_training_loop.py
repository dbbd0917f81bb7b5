import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finetune_api.failures import LossDiverged
from finetune_api.tasks import ProblemType
from finetune_trainer.data.tokenising.collate import FeatureRows
from finetune_trainer.training.losses.classification import Objective

Train = Callable[..., Any]
ROWS = 48
FEATURES = torch.randn(ROWS, 4, generator=torch.Generator().manual_seed(1))
CLASSES = (FEATURES[:, 0] > 0).long()
OBJECTIVE = Objective(ProblemType.SINGLE_LABEL)


class Net(nn.Module):
    """Learns the sign of the first feature."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.dropout, self.layer = nn.Dropout(dropout), nn.Linear(4, 2)

    def forward(self, features: Tensor) -> Any:
        return type("Output", (), {"logits": self.layer(self.dropout(features))})


def weights(net: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in net.parameters()]).clone()


class Evaluations:
    """Measures what the script says, and keeps the weights of each time."""

    def __init__(self, net: nn.Module, values: list[float]) -> None:
        self.net, self.values, self.states = net, values, list[Tensor]()

    def __call__(self) -> dict[str, float]:
        self.states.append(weights(self.net))
        return {"evalLoss": self.values[len(self.states) - 1], "accuracy": 0.5}


def test_the_loss_falls(train: Train, silent: Any) -> None:
    result = train(Net(), FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=60, learning_rate=0.1, observer=silent)
    losses = [point.loss for point in result.curves]
    assert losses[0] > 0.5
    assert np.mean(losses[-6:]) < 0.2
    assert [progress.step for progress in silent.steps] == list(range(1, 61))
    assert silent.steps[-1].epoch == 10
    assert silent.steps[-1].percent == 100
    assert result.best is None


def test_early_stopping_brings_back_the_best_state(train: Train, silent: Any) -> None:
    net = Net()
    script = Evaluations(net, [0.9, 0.5, 0.6, 0.55, 0.7, 0.1])
    result = train(
        net,
        FeatureRows(FEATURES),
        CLASSES,
        OBJECTIVE,
        steps=40,
        learning_rate=0.1,
        evaluate=script,
        evaluate_every=3,
        observer=silent,
    )
    assert (result.steps, result.stopped_early) == (15, True)
    assert (result.best.step, result.best.value, result.best.metric) == (6, 0.5, "evalLoss")
    assert torch.equal(weights(net), script.states[1])
    assert not torch.equal(script.states[1], script.states[3])
    told = [(step, best) for step, _, best in silent.evaluations]
    assert told == [(3, True), (6, True), (9, False), (12, False), (15, False)]
    assert [point.step for point in result.curves if point.validation] == [3, 6, 9, 12, 15]


def test_without_patience_all_steps_are_made_and_the_last_is_measured(train: Train) -> None:
    net = Net()
    script = Evaluations(net, [0.9, 0.2, 0.6, 0.7])
    result = train(
        net,
        FeatureRows(FEATURES),
        CLASSES,
        OBJECTIVE,
        steps=11,
        evaluate=script,
        evaluate_every=3,
        early_stopping={"patience": 0},
    )
    assert (result.steps, result.stopped_early) == (11, False)
    assert [point.step for point in result.curves if point.validation] == [3, 6, 9, 11]
    assert torch.equal(weights(net), script.states[1])


def test_without_evaluation_the_last_state_stays(train: Train) -> None:
    net = Net()
    start = weights(net)
    result = train(net, FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=5)
    assert result.steps == 5
    assert not torch.equal(weights(net), start)


def test_patience_that_runs_out_at_the_last_step_stops_nothing_early(train: Train) -> None:
    net = Net()
    script = Evaluations(net, [0.1, 0.5, 0.6])
    result = train(net, FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=6, evaluate=script, evaluate_every=2)
    assert (result.steps, result.stopped_early, result.best.step) == (6, False, 2)


def test_curves_are_bounded(train: Train) -> None:
    result = train(Net(), FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=1_000)
    assert 200 <= len(result.curves) <= 202
    assert all(math.isfinite(point.loss) and math.isfinite(point.gradient_norm) for point in result.curves)
    assert result.curves[-1].step == 1_000
    assert result.curves[0].learning_rate > result.curves[-1].learning_rate > 0


def run(train: Train, seed: int) -> Tensor:
    net = Net(dropout=0.3)
    torch.manual_seed(seed)
    train(net, FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=20, seed=seed)
    return weights(net)


def test_seeds(train: Train) -> None:
    assert torch.equal(run(train, 5), run(train, 5))
    assert not torch.equal(run(train, 5), run(train, 6))


def test_gradients_are_clipped(train: Train) -> None:
    """AdamW hides the scale of a gradient, so the limit shows in what the loop hands to it."""
    net = Net()
    norms: list[float] = []
    net.layer.weight.register_post_accumulate_grad_hook(lambda weight: norms.append(float(weight.grad.norm())))
    free = train(net, FeatureRows(FEATURES * 100), CLASSES, OBJECTIVE, steps=1, max_grad_norm=0)
    assert free.curves[0].gradient_norm >= norms[0] > 1, "the norm in the curves is that before clipping"
    clipped = Net()
    train(clipped, FeatureRows(FEATURES * 100), CLASSES, OBJECTIVE, steps=1, max_grad_norm=1e-9)
    unclipped = Net()
    train(unclipped, FeatureRows(FEATURES * 100), CLASSES, OBJECTIVE, steps=1, max_grad_norm=0)
    start = weights(Net())
    assert (weights(clipped) - start).norm() < (weights(unclipped) - start).norm() / 2, "below AdamW's epsilon"


@pytest.mark.causes("LossDiverged")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_row_that_is_no_number(train: Train, value: float) -> None:
    broken = FEATURES.clone()
    broken[7, 1] = value
    with pytest.raises(LossDiverged, match=r"loss became nan at step \d") as caught:
        train(Net(), FeatureRows(broken), CLASSES, OBJECTIVE, steps=20)
    assert "spec.training.learningRate" in caught.value.problems[0].hint


@pytest.mark.causes("LossDiverged")
def test_a_gradient_that_overflows(train: Train) -> None:
    """The loss is still a number, and the weights would not be after this step."""
    net = Net()
    net.layer.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(LossDiverged, match=r"norm became (nan|inf) at step 1"):
        train(net, FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=3)


@pytest.mark.causes("LossDiverged")
def test_outputs_that_are_no_numbers_at_an_evaluation(train: Train) -> None:
    with pytest.raises(LossDiverged, match="no longer numbers at step 2"):
        train(Net(), FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=3, evaluate=dict, evaluate_every=2)


def test_a_metric_that_is_undefined_for_once_does_not_end_the_run(train: Train) -> None:
    answers = iter([{"evalLoss": 0.9, "accuracy": 0.5}, {"evalLoss": 0.8}, {"evalLoss": 0.7, "accuracy": 0.6}])
    result = train(
        Net(), FeatureRows(FEATURES), CLASSES, OBJECTIVE, steps=6, evaluate=lambda: next(answers), metric="accuracy"
    )
    assert (result.best.step, result.best.value) == (6, 0.6)
