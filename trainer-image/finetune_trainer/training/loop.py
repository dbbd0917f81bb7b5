"""The training loop, from top to bottom: batches, gradients, steps, evaluations, the best state."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from finetune_api.failures import LossDiverged
from finetune_api.metrics import Metric
from finetune_api.outcome import Best, Progress
from finetune_api.report import CurvePoint
from finetune_api.training import Training
from finetune_trainer.data.batches import BatchPlan, Rows
from finetune_trainer.data.collate import RowSource
from finetune_trainer.observer import Tally
from finetune_trainer.signals import check_stop
from finetune_trainer.training.best_weights import BestWeights
from finetune_trainer.training.early_stopping import Choice
from finetune_trainer.training.objective import Objective
from finetune_trainer.training.optimizer import build_optimizer, build_schedule
from finetune_trainer.training.rate import Rate

_CURVE_POINTS = 200
_DIVERGED_HINT = "lower spec.training.learningRate, or use precision FP32; look for odd rows in the data report"


class TrainingObserver(Protocol):
    """Who wants to know how training goes."""

    def trained(self, progress: Progress, tally: Tally) -> None:
        """Called after each optimiser step."""

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """Called after each evaluation on the validation rows."""


@dataclass(frozen=True)
class TrainingPlan:
    """All that the loop needs to know, with every choice made."""

    training: Training
    learning_rate: float
    total_steps: int
    evaluate_every: int
    """Steps between evaluations."""
    metric: Metric
    """What best means."""
    batches: BatchPlan
    objective: Objective


@dataclass
class TrainingResult:
    """What the loop leaves beside the weights."""

    steps: int = 0
    best: Best | None = None
    curves: list[CurvePoint] = field(default_factory=list)
    throughput: dict[str, float] = field(default_factory=dict)
    stopped_early: bool = False


Evaluate = Callable[[], dict[str, float]]


class Loop:
    """One training run over `rows` ([n]) with `targets` ([n] or [n, labels]).

    `evaluate` measures the model on the validation rows; None trains without choosing a best state.
    After `run` the model holds the best state (the last one without `evaluate`).
    """

    def __init__(
        self,
        model: nn.Module,
        rows: RowSource,
        targets: Tensor,
        plan: TrainingPlan,
        accelerator: Accelerator,
    ) -> None:
        self._plan, self._rows, self._targets, self._accelerator = plan, rows, targets, accelerator
        self._objective = plan.objective.to(accelerator.device)
        optimizer = build_optimizer(model, plan.learning_rate, plan.training.weight_decay)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._schedule = build_schedule(optimizer, plan.training, plan.total_steps)
        self._trainable = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
        self._curve = _Curve(max(1, plan.total_steps // _CURVE_POINTS), plan.batches.steps_per_epoch)

    def run(self, evaluate: Evaluate | None, best: BestWeights, observer: TrainingObserver) -> TrainingResult:
        """Train until the last step or until early stopping.

        Raises `LossDiverged` when the loss is no longer a number.
        """
        plan, result, choice, rate = self._plan, TrainingResult(), Choice(), Rate(self._plan.total_steps)
        self._model.train()
        for step, batch in enumerate(self._batches(), start=1):
            check_stop()
            learning_rate = float(self._schedule.get_last_lr()[0])
            parts = list(plan.batches.micro_batches(batch))
            loss, norm = self._step(batch, parts)
            self._check(loss, norm, step)
            rate.add(parts, plan.batches.lengths)
            self._curve.add(step, loss, learning_rate, norm)
            progress = rate.progress(step, step / plan.batches.steps_per_epoch, loss, learning_rate)
            observer.trained(progress, rate.tally(norm))
            result.steps = step
            if evaluate is not None and (step % plan.evaluate_every == 0 or step == plan.total_steps):
                with rate.paused():
                    metrics = evaluate()
                choice = self._chosen(choice, step, metrics, best, observer)
                if choice.should_stop(plan.training.early_stopping):
                    result.stopped_early = step < plan.total_steps
                    break
        best.restore(self._model)
        result.best, result.curves, result.throughput = choice.best, self._curve.points, rate.totals()
        return result

    def _batches(self) -> Iterator[Rows]:
        done = 0
        for epoch in range(10**9):
            for batch in self._plan.batches.epoch(epoch):
                if done == self._plan.total_steps:
                    return
                done += 1
                yield batch

    def _step(self, batch: Rows, parts: list[Rows]) -> tuple[float, float]:
        """One optimiser step over `batch`, cut into `parts`; returns the mean loss and the gradient's norm."""
        device = self._accelerator.device
        weight = self._objective.weight(self._targets[torch.from_numpy(batch)].to(device))
        total = torch.zeros((), device=device)
        for rows in parts:
            inputs = {name: tensor.to(device) for name, tensor in self._rows.collate(rows).items()}
            targets = self._targets[torch.from_numpy(rows)].to(device)
            loss = self._objective.loss_sum(self._model(**inputs).logits, targets) / weight
            self._accelerator.backward(loss)
            total += loss.detach()
        limit = self._plan.training.max_grad_norm or math.inf
        norm = self._accelerator.clip_grad_norm_(self._trainable, limit)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        return float(total.item()), float(norm or 0.0)

    def _check(self, loss: float, norm: float, step: int) -> None:
        if not math.isfinite(loss):
            raise LossDiverged(f"the training loss became {loss} at step {step}", hint=_DIVERGED_HINT)
        if not math.isfinite(norm) and self._accelerator.scaler is None:  # a scaler skips such a step by itself
            raise LossDiverged(f"the gradient's norm became {norm} at step {step}", hint=_DIVERGED_HINT)

    def _chosen(
        self, choice: Choice, step: int, metrics: dict[str, float], best: BestWeights, observer: TrainingObserver
    ) -> Choice:
        if not metrics:  # there are some wherever the outputs are numbers
            raise LossDiverged(f"the model's outputs are no longer numbers at step {step}", hint=_DIVERGED_HINT)
        metric = self._plan.metric
        choice = choice.seen(step, metrics.get(metric.name), metric, self._plan.training.early_stopping)
        if choice.is_best(step):
            best.save(self._model)
        self._curve.evaluated(step, metrics)
        observer.evaluated(step, metrics, choice.is_best(step))
        return choice


class _Curve:
    """Collects points of the curves, few enough to draw and to store."""

    def __init__(self, every: int, steps_per_epoch: int) -> None:
        self.points: list[CurvePoint] = []
        self._every, self._steps_per_epoch, self._losses = every, steps_per_epoch, list[float]()

    def add(self, step: int, loss: float, learning_rate: float, norm: float) -> None:
        self._losses.append(loss)
        if step % self._every == 0 or step == 1:
            self._point(
                step,
                loss=float(np.mean(self._losses)),
                learning_rate=learning_rate,
                gradient_norm=norm if math.isfinite(norm) else None,
            )
            self._losses.clear()

    def evaluated(self, step: int, metrics: dict[str, float]) -> None:
        if self.points and self.points[-1].step == step:
            self.points[-1] = self.points[-1].model_copy(update={"validation": metrics})
        else:
            self._point(step, validation=metrics)

    def _point(self, step: int, **values: object) -> None:
        fields = {"step": step, "epoch": step / self._steps_per_epoch, **values}
        self.points.append(CurvePoint.model_validate(fields))
