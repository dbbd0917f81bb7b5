"""The output layer over a frozen base, solved by L-BFGS: a convex problem, for falling strengths of an L2 penalty."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_api.curves import CurvePoint
from finetune_api.metrics import Metric
from finetune_api.training import EarlyStopping
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import Volume, cut_by_tokens
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.methods.head_only import HeadOnly
from finetune_trainer.signals import StopToken
from finetune_trainer.training.callbacks import TrainingObserver
from finetune_trainer.training.curve import loss_of_best
from finetune_trainer.training.early_stopping import EarlyStoppingState
from finetune_trainer.training.loop import Evaluate, TrainingResult
from finetune_trainer.training.losses.base import Loss
from finetune_trainer.training.throughput import ThroughputMeter

_POSITIONS = 65_536
"""Vectors that go through the layer at once."""
_CHANGE = 2e-7
"""Change of the loss, per row, below which L-BFGS ends."""
_ITERATIONS = 60
"""Most iterations of L-BFGS for one penalty; it begins where the one before ended."""


@dataclass(frozen=True)
class Penalties:
    """Strengths of the L2 penalty on the weights of standardised inputs, in falling order, and selection settings."""

    strengths: tuple[float, ...]
    metric: Metric
    early_stopping: EarlyStopping


class _Linear(nn.Module):
    """Logits of standardised inputs, [..., inputs] -> `logits` [..., outputs]."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros_like(layer.weight))
        own = _bias(layer)
        self.bias = None if own is None else nn.Parameter(torch.zeros_like(own))

    def forward(self, features: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=functional.linear(features, self.weight, self.bias))


def _bias(layer: nn.Linear) -> Tensor | None:
    """The bias; None for the heads of decoders, which lack one."""
    found: Tensor | None = layer.bias
    return found


class HeadSolver:
    """L-BFGS solver of the output layer of `head` over `rows` for `loss`; other layers are fixed."""

    def __init__(
        self, head: HeadOnly, rows: RowSource, loss: Loss, penalties: Penalties, stop: StopToken | None = None
    ) -> None:
        """Compute the inputs of the output layer and their standardisation, once."""
        self._layer, self._penalties, self._stop = head.output_layer, penalties, stop or StopToken()
        self._loss, self._weight = loss.to(head.model.device), loss.weight(np.arange(len(rows.lengths)))
        self._linear = _Linear(self._layer)
        self._parts = list(_inputs(head, rows))
        self._mean, self._deviation = _moments(self._parts, centred=_bias(self._layer) is not None)
        for inputs, _rows in self._parts:
            inputs["features"] = (inputs["features"] - self._mean) / self._deviation
        self._passes, self._rows = 0, len(rows.lengths)

    def solve(
        self, evaluate: Evaluate | None, observer: TrainingObserver, losses: Callable[[], dict[str, float]] = dict
    ) -> TrainingResult:
        """Solve for each penalty in turn until `evaluate` finds no improvement for the patience.

        A step is one penalty, an epoch one pass over the rows. Leaves the best layer in the head; without `evaluate`
        there is one penalty, and its layer stays.
        """
        strengths = self._penalties.strengths if evaluate else (1 / max(1.0, self._weight),)
        points, choice, rate = list[CurvePoint](), EarlyStoppingState(), ThroughputMeter(len(strengths))
        best: tuple[Tensor, Tensor | None] | None = None
        step = 0
        for step, strength in enumerate(strengths, start=1):
            self._stop.check()
            before = self._passes
            loss = self._minimise(strength)
            self._write()
            done = self._rows * (self._passes - before)
            rate.add(done, Volume(done, done))
            point = CurvePoint(step=step, epoch=self._passes, loss=loss)
            observer.trained(rate.progress(step, self._passes, loss, None), rate.tally(self._gradient_norm(), {}))
            if evaluate is not None:
                with rate.paused():
                    metrics = evaluate()
                metric = self._penalties.metric
                choice = choice.update(
                    step, metrics.get(metric.name), metric, self._penalties.early_stopping,
                    loss=metrics.get("evalLoss"), best_loss=loss_of_best(points, choice.best),
                )  # fmt: skip
                point = point.model_copy(update={"validation": metrics, "sources": losses()})
                observer.evaluated(step, metrics, choice.is_best(step))
                if choice.is_best(step):
                    best = self._read()
            points.append(point)
            if choice.should_stop(self._penalties.early_stopping):
                break
        if best is not None:
            self._restore(best)
        return TrainingResult(step, choice.best, points, rate.totals(), stopped_early=step < len(strengths))

    def _minimise(self, strength: float) -> float:
        """Minimise loss plus penalty; returns the mean loss without penalty."""
        found = 0.0
        optimizer = torch.optim.LBFGS(
            self._linear.parameters(),
            max_iter=_ITERATIONS,
            tolerance_grad=1e-6,
            tolerance_change=_CHANGE,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            nonlocal found
            optimizer.zero_grad()
            total = torch.zeros((), device=self._linear.weight.device)
            for inputs, rows in self._parts:
                loss = self._loss.total(self._linear, dict(inputs), rows) / self._weight
                loss.backward()  # type: ignore[no-untyped-call]  # torch declares none
                total += loss.detach()
            penalty = strength / 2 * self._linear.weight.square().sum()
            penalty.backward()  # type: ignore[no-untyped-call]  # as above
            self._passes += 1
            found = float(total)
            return total + penalty.detach()

        optimizer.step(closure)  # type: ignore[no-untyped-call]  # as above
        closure()
        return found

    def _gradient_norm(self) -> float:
        return float(torch.cat([p.grad.flatten() for p in self._linear.parameters() if p.grad is not None]).norm())

    @torch.no_grad()
    def _write(self) -> None:
        """Write the solution to the head, for inputs that are not standardised."""
        weight = self._linear.weight / self._deviation
        self._layer.weight.copy_(weight)
        bias = _bias(self._layer)
        if bias is not None and self._linear.bias is not None:
            bias.copy_(self._linear.bias - weight @ self._mean)

    def _read(self) -> tuple[Tensor, Tensor | None]:
        bias = _bias(self._layer)
        return self._layer.weight.detach().clone(), None if bias is None else bias.detach().clone()

    @torch.no_grad()
    def _restore(self, saved: tuple[Tensor, Tensor | None]) -> None:
        self._layer.weight.copy_(saved[0])
        if saved[1] is not None:
            self._layer.bias.copy_(saved[1])


@torch.no_grad()
def _inputs(head: HeadOnly, rows: RowSource) -> Iterator[tuple[dict[str, Tensor], Rows]]:
    """Collated rows in parts, with inputs of the output layer in place of cached vectors."""
    head.eval()
    for part in cut_by_tokens(np.arange(len(rows.lengths)), rows.lengths, _POSITIONS):
        inputs = {name: tensor.to(head.model.device) for name, tensor in rows.collate(part).items()}
        inputs["features"] = head.output_inputs(inputs["features"])
        yield inputs, part


def _moments(parts: list[tuple[dict[str, Tensor], Rows]], *, centred: bool) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each input over labelled vectors; the mean is 0 unless `centred`."""
    width = parts[0][0]["features"].shape[-1]
    count, total, squares = 0, torch.zeros(width).double(), torch.zeros(width).double()
    for inputs, _rows in parts:
        features = inputs["features"]
        if "labels" in inputs:
            features = features[inputs["labels"] != IGNORE_INDEX]
        flat = features.flatten(0, -2).double()
        count += len(flat)
        total, squares = total.to(flat.device) + flat.sum(dim=0), squares.to(flat.device) + flat.square().sum(dim=0)
    mean = total / max(1, count)
    deviation = (squares / max(1, count) - mean.square()).clamp(min=0).sqrt()
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)  # an input that is the same everywhere says nothing
    return (mean if centred else torch.zeros_like(mean)).float(), deviation.float()
