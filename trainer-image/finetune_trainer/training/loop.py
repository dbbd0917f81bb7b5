"""`Loop`, the training loop: batches, gradient accumulation, optimizer steps, evaluations, the best state."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, takewhile

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from finetune_api.curves import CurvePoint
from finetune_api.failures import LossDiverged
from finetune_api.metrics import Metric
from finetune_api.outcome import Best
from finetune_api.renamed import first_names
from finetune_api.training import Training
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import BatchPlan, Volume, volume_of
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.methods.adapted import uniform_lr
from finetune_trainer.signals import StopToken
from finetune_trainer.training.callbacks import NoCheckpoints, StepCallback, TrainingObserver
from finetune_trainer.training.curve import Curve, loss_of_best
from finetune_trainer.training.early_stopping import EarlyStoppingState
from finetune_trainer.training.fitting import row_too_large, tried
from finetune_trainer.training.losses.base import HasStepMetrics, Loss, StepMetrics
from finetune_trainer.training.lr_schedule import build_schedule
from finetune_trainer.training.optimizers import build_optimizer
from finetune_trainer.training.prefetch import Inputs, device_inputs
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.capture import StateCapture
from finetune_trainer.training.state.rng import random_state, set_random_state
from finetune_trainer.training.state.tensors import trainable_parameters
from finetune_trainer.training.state.training_state import TRAINING, TrainingState, check_plan, plan_of, state_of
from finetune_trainer.training.step_log import StepLog, StepRecord
from finetune_trainer.training.throughput import ThroughputMeter

_DIVERGED_HINT = "lower spec.training.learningRate, or use precision FP32; look for odd rows in the data report"

_HALVED = (
    "training passes of up to {} tokens do not fit into memory: from now on they have {} at most, with the same rows "
    "in each step (training.perDeviceBatchSize limits them from the start)"
)
_REPORT_SECONDS = 0.5
"""How long steps on a GPU may wait to be reported."""


@dataclass(frozen=True)
class TrainingPlan:
    """Hyperparameters of one run, with every default resolved."""

    training: Training
    learning_rate: float
    total_steps: int
    evaluate_every: int
    """Steps between evaluations."""
    metric: Metric
    """What best means."""
    batches: BatchPlan
    lr_factor: Callable[[str], float] = uniform_lr
    """Factor on the learning rate of a parameter, by its name."""
    passes: int = 1
    """Updates with the rows of a step, one after the other."""


@dataclass
class TrainingResult:
    """Result of a training run beside the weights."""

    steps: int = 0
    best: Best | None = None
    curves: list[CurvePoint] = field(default_factory=list)
    throughput: dict[str, float] = field(default_factory=dict)
    stopped_early: bool = False


Evaluate = Callable[[], dict[str, float]]


class Loop:
    """One training run over `rows` that minimises `loss`.

    It can be taken down as a `Snapshot` after any step, and goes on from one as if it had never stopped.
    """

    def __init__(
        self,
        model: nn.Module,
        rows: RowSource,
        loss: Loss,
        plan: TrainingPlan,
        accelerator: Accelerator,
        *,
        best: BestWeights,
        stop: StopToken | None = None,
        losses: Callable[[], dict[str, float]] = dict,
        report_every: float | None = None,
    ) -> None:
        """Take model, rows, hyperparameters and callbacks; `losses` gives the validation loss by source.

        Steps are reported every `report_every` seconds, and whenever their numbers are needed; by default on a GPU
        every half second, elsewhere each by itself.
        """
        on_gpu = accelerator.device.type == "cuda"
        self._log = StepLog((_REPORT_SECONDS if on_gpu else 0.0) if report_every is None else report_every)
        self._losses, self._stop = losses, stop or StopToken()
        self._plan, self._rows, self._accelerator, self._best = plan, rows, accelerator, best
        self._passes = plan.batches
        self._loss = loss.to(accelerator.device)
        optimizer = build_optimizer(model, plan.learning_rate, plan.training, plan.lr_factor)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._schedule = build_schedule(optimizer, plan.training, plan.total_steps)
        self._moving = StateCapture(self._model, optimizer, self._schedule, accelerator.scaler, best)
        self._trainable = list(trainable_parameters(self._model).values())
        self._curve = Curve(plan.total_steps, plan.batches.steps_per_epoch)
        self._rate, self._choice = ThroughputMeter(plan.total_steps), EarlyStoppingState()
        self._step = self._evaluated = self._kept = 0
        self._metric: float | None = None
        self._finished = False
        self._inputs = self._prepared_inputs()

    @property
    def step(self) -> int:
        """Number of completed optimizer steps."""
        return self._step

    def run(
        self, evaluate: Evaluate | None, observer: TrainingObserver, keeper: StepCallback | None = None
    ) -> TrainingResult:
        """Train until the last step or early stopping; the model then holds the best state.

        `evaluate` measures the model on the validation rows; without it no best state is chosen, and the last one
        stays. A stop that is asked for ends the step, has the state kept and raises `KeyboardInterrupt`.

        Raises `LossDiverged` when the loss is no longer a number, and what `keeper` raises.
        """
        keeper = keeper or NoCheckpoints()
        self._model.train()
        self._rate.start()
        try:
            with self._stop.finishing_steps():
                self._settle(evaluate, observer, keeper)
                for batch in self._batches():
                    self._make_step(batch, observer)
                    self._settle(evaluate, observer, keeper)
        finally:
            self._inputs.close()
        return TrainingResult(
            steps=self._step,
            best=self._choice.best,
            curves=self._curve.points,
            throughput=self._rate.totals(),
            stopped_early=self._step < self._plan.total_steps,
        )

    def snapshot(self) -> Snapshot:
        """Copy the state that further steps depend on; after training, the best weights alone."""
        is_best = self._choice.is_best(self._step)
        parts, values = self._moving.capture(finished=self._finished, is_best=is_best)
        state = TrainingState(
            plan=plan_of(self._plan.total_steps, self._plan.batches),
            step=self._step,
            evaluated=self._evaluated,
            metric=self._metric,
            best=self._choice.best,
            reference=self._choice.reference,
            waited=self._choice.bad_evals,
            finished=self._finished,
            token_budget=self._passes.token_budget,
            curve=self._curve.state(),
            work=self._rate.state(),
            **values,
        )
        return Snapshot(
            step=self._step,
            epoch=self._step / self._plan.batches.steps_per_epoch,
            parts=parts,
            values={TRAINING: first_names(TrainingState, state.model_dump(mode="json"))},
            metric=self._metric,
        )

    def restore(self, snapshot: Snapshot, *, of_other_run: bool = False) -> None:
        """Restore a snapshot; one of another run may have had another number of steps.

        Raises `IncompatibleState` where that can't be, before anything is changed.
        """
        state = state_of(snapshot)
        plan = plan_of(self._plan.total_steps, self._plan.batches)
        check_plan(state, plan, may_be_longer=of_other_run)
        self._moving.check(snapshot.parts, state)
        self._moving.restore(snapshot.parts, state)
        if state.plan.total_steps != plan.total_steps:
            self._moving.reschedule()
        self._step = self._kept = state.step
        self._evaluated, self._metric, self._choice = state.evaluated, state.metric, state.choice
        self._curve.resume_from(state.curve)
        self._rate.resume_from(state.work)
        self._finished = state.finished
        if state.token_budget is not None and not of_other_run:  # the passes of the attempt before, whatever fits now
            self._cut_into(state.token_budget)

    def _batches(self) -> Iterator[Rows]:
        """The remaining batches, until training is over."""
        return takewhile(lambda _: not self._finished, self._planned(self._step))

    def _planned(self, done: int) -> Iterator[Rows]:
        """All batches after `done` steps, without end."""
        a_pass = self._plan.batches.steps_per_epoch
        for epoch in count(done // a_pass):
            yield from self._plan.batches.epoch(epoch)[done % a_pass if epoch == done // a_pass else 0 :]

    def _parts(self) -> Iterator[Rows]:
        """Rows of all passes to come, in the order that updates take them."""
        for batch in self._planned(self._step):
            for _ in range(self._plan.passes):
                yield from self._passes.micro_batches(batch)

    def _prepared_inputs(self) -> Generator[Inputs]:
        """Inputs of all passes to come."""
        return device_inputs(self._rows.collate, self._parts(), self._accelerator.device)

    def _cut_into(self, token_budget: int) -> None:
        """Cut the steps to come into passes of so many tokens at most."""
        self._passes = replace(self._passes, token_budget=token_budget)
        self._inputs.close()
        self._inputs = self._prepared_inputs()

    def _make_step(self, batch: Rows, observer: TrainingObserver) -> None:
        learning_rate = float(self._schedule.get_last_lr()[0])
        loss, norm, parts = self._optimise(batch, observer)
        self._step += 1
        metrics = self._loss.step_metrics() if isinstance(self._loss, HasStepMetrics) else StepMetrics({})
        volume = metrics.volume or self._volume(parts)
        self._log.add(StepRecord(self._step, len(batch), volume, learning_rate, loss, norm, metrics))

    def _report(self, observer: TrainingObserver) -> None:
        """Report the steps since the last report. Raises `LossDiverged` for numbers that are none."""
        for record, loss, norm in self._log.take():
            step, metrics, learning_rate = record.step, record.metrics, record.learning_rate
            self._check_numbers(loss, norm, step)
            self._rate.add(record.rows, record.volume)
            self._curve.add(step, loss, learning_rate, norm, metrics.figures)
            progress = self._rate.progress(step, step / self._plan.batches.steps_per_epoch, loss, learning_rate)
            observer.trained(progress, self._rate.tally(norm, metrics.figures))
            if metrics.warning:
                observer.warned(metrics.warning)

    def _volume(self, parts: list[Rows]) -> Volume:
        return volume_of(parts, self._plan.batches.lengths, packed=self._plan.batches.packed)

    def _settle(self, evaluate: Evaluate | None, observer: TrainingObserver, keeper: StepCallback) -> None:
        """Between two steps: save and stop if requested, evaluate, save if due."""
        if self._finished:
            return
        is_due = keeper.is_due(self._step) or (evaluate is not None and self._evaluation_is_due())
        if is_due or self._log.is_due or self._stop.requested or self._is_over():
            self._report(observer)
        keeper.check()
        if self._stop.requested:
            self._keep_and_end(keeper, observer)
        if evaluate is not None and self._evaluation_is_due():
            try:
                with self._rate.paused():
                    metrics = evaluate()
            except KeyboardInterrupt:
                self._keep_and_end(keeper, observer)
                raise
            self._choose(metrics, observer)
        self._finished = self._is_over()
        if self._finished:
            self._best.restore(self._model)
        if self._finished or (keeper.is_due(self._step) and self._kept != self._step):
            self._keep(keeper)
        if self._stop.requested:  # since, for example while waiting for an upload
            self._keep_and_end(keeper, observer)

    def _keep_and_end(self, keeper: StepCallback, observer: TrainingObserver) -> None:
        """Save the current state, unless there is no time for it, and raise `KeyboardInterrupt`."""
        self._report(observer)
        if self._kept != self._step and not self._stop.forced:
            self._keep(keeper)
        raise KeyboardInterrupt

    def _keep(self, keeper: StepCallback) -> None:
        keeper.keep(self.snapshot)
        self._kept = self._step

    def _evaluation_is_due(self) -> bool:
        step, plan = self._step, self._plan
        return step > self._evaluated and (step % plan.evaluate_every == 0 or step == plan.total_steps)

    def _is_over(self) -> bool:
        early = self._choice.should_stop(self._plan.training.early_stopping)
        return self._step >= self._plan.total_steps or early

    def _optimise(self, batch: Rows, observer: TrainingObserver) -> tuple[Tensor, Tensor, list[Rows]]:
        """One step over `batch`; returns mean loss and gradient norm of its last update, and the rows of its passes."""
        parts, weight, loss = self._fitting_passes(batch, observer)
        norm = self._update()
        for _ in range(1, self._plan.passes):
            loss, norm = self._accumulate(parts, weight), self._update()
        self._schedule.step()
        return loss, torch.zeros_like(loss) if norm is None else norm, parts

    def _fitting_passes(self, batch: Rows, observer: TrainingObserver) -> tuple[list[Rows], float, Tensor]:
        """Accumulate the gradients of a step in passes that fit into memory; returns their rows, weight and mean loss.

        A pass that does not fit is halved, and the step begins again, before any weight has changed.
        """
        random, given = random_state(), self._passes.token_budget
        while True:
            parts, weight = list(self._passes.micro_batches(batch)), self._loss.weight(batch)
            loss, reason = tried(partial(self._accumulate, parts, weight))
            if loss is not None:
                if self._passes.token_budget < given:
                    observer.warned(_HALVED.format(given, self._passes.token_budget))
                return parts, weight, loss
            self._optimizer.zero_grad()
            self._halve(parts, reason)
            set_random_state(*random)

    def _halve(self, parts: list[Rows], reason: str) -> None:
        """Halve the passes of this step and all later ones. Raises `OutOfMemory` where each is of one row."""
        most = max(self._volume([part]).padded for part in parts)
        if all(len(part) == 1 for part in parts):
            raise row_too_large(most, reason)
        self._cut_into(max(1, min(self._passes.token_budget, most) // 2))

    def _accumulate(self, parts: list[Rows], weight: float) -> Tensor:
        """Accumulate the gradients of `parts`; returns their mean loss, a scalar on the device."""
        total = torch.zeros((), device=self._accelerator.device)
        for rows in parts:
            given = next(self._inputs)
            with self._accelerator.autocast():  # of the loss, too: as the reference and all evaluations are computed
                loss = self._loss.total(self._model, given, rows) / weight
            self._accelerator.backward(loss)
            total += loss.detach()
        return total

    def _update(self) -> Tensor | None:
        """Update the weights by their gradients; returns the gradient's norm."""
        limit = self._plan.training.max_grad_norm or math.inf
        norm: Tensor | None = self._accelerator.clip_grad_norm_(self._trainable, limit)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def _check_numbers(self, loss: float, norm: float, step: int) -> None:
        if not math.isfinite(loss):
            raise LossDiverged(f"the training loss became {loss} at step {step}", hint=_DIVERGED_HINT)
        if not math.isfinite(norm) and self._accelerator.scaler is None:  # a scaler skips such a step by itself
            raise LossDiverged(f"the gradient's norm became {norm} at step {step}", hint=_DIVERGED_HINT)

    def _choose(self, metrics: dict[str, float], observer: TrainingObserver) -> None:
        """Update the best state with an evaluation."""
        step, metric = self._step, self._plan.metric
        if not metrics:  # there are some wherever the outputs are numbers
            raise LossDiverged(f"the model's outputs are no longer numbers at step {step}", hint=_DIVERGED_HINT)
        self._metric, self._evaluated = metrics.get(metric.name), step
        self._choice = self._choice.update(
            step, self._metric, metric, self._plan.training.early_stopping,
            loss=metrics.get("evalLoss"), best_loss=loss_of_best(self._curve.points, self._choice.best),
        )  # fmt: skip
        if self._choice.is_best(step):
            self._best.save(self._model)
        self._curve.evaluated(step, metrics, self._losses())
        observer.evaluated(step, metrics, self._choice.is_best(step))
