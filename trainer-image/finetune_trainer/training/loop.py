"""`Loop`, the training loop: optimizer steps, evaluations, the best state, and snapshots between steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile

from accelerate import Accelerator
from torch import nn

from finetune_api.curves import CurvePoint
from finetune_api.failures import LossDiverged
from finetune_api.metrics import Metric
from finetune_api.outcome import Best
from finetune_api.renamed import first_names
from finetune_api.training import Training
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.methods.adapted import uniform_lr
from finetune_trainer.signals import StopToken
from finetune_trainer.training.callbacks import NoCheckpoints, StepCallback, TrainingObserver
from finetune_trainer.training.curve import Curve, loss_of_best
from finetune_trainer.training.early_stopping import EarlyStoppingState
from finetune_trainer.training.losses.base import HasStepMetrics, Loss, StepMetrics
from finetune_trainer.training.lr_schedule import build_schedule
from finetune_trainer.training.optimizer_step import OptimizerStep
from finetune_trainer.training.optimizers import build_optimizer
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.capture import StateCapture
from finetune_trainer.training.state.training_state import TRAINING, TrainingState, check_plan, plan_of, state_of
from finetune_trainer.training.step_log import StepLog, StepRecord
from finetune_trainer.training.throughput import ThroughputMeter

_DIVERGED_HINT = "lower spec.training.learningRate, or use precision FP32; look for odd rows in the data report"

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
        self._plan, self._best, self._scaler = plan, best, accelerator.scaler
        self._loss = loss.to(accelerator.device)
        optimizer = build_optimizer(model, plan.learning_rate, plan.training, plan.lr_factor)
        self._model, prepared = accelerator.prepare(model, optimizer)
        self._schedule = build_schedule(optimizer, plan.training, plan.total_steps)
        self._moving = StateCapture(self._model, optimizer, self._schedule, accelerator.scaler, best)
        self._steps = OptimizerStep(
            self._model,
            rows,
            self._loss,
            plan.batches,
            accelerator=accelerator,
            optimizer=prepared,
            schedule=self._schedule,
            training=plan.training,
            updates=plan.passes,
        )
        self._curve = Curve(plan.total_steps, plan.batches.steps_per_epoch)
        self._rate, self._choice = ThroughputMeter(plan.total_steps), EarlyStoppingState()
        self._step = self._evaluated = self._kept = 0
        self._metric: float | None = None
        self._finished = False

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
            self._steps.close()
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
            token_budget=self._steps.token_budget,
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
        # The same attempt goes on with the passes that it had, whatever fits now.
        self._steps.resume_after(state.step, None if of_other_run else state.token_budget)

    def _batches(self) -> Iterator[Rows]:
        """The remaining batches, until training is over."""
        return takewhile(lambda _: not self._finished, self._steps.batches())

    def _make_step(self, batch: Rows, observer: TrainingObserver) -> None:
        learning_rate = float(self._schedule.get_last_lr()[0])
        made = self._steps.make(batch, observer.warned)
        self._step += 1
        metrics = self._loss.step_metrics() if isinstance(self._loss, HasStepMetrics) else StepMetrics({})
        volume = metrics.volume or made.volume
        self._log.add(StepRecord(self._step, len(batch), volume, learning_rate, made.loss, made.norm, metrics))

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

    def _check_numbers(self, loss: float, norm: float, step: int) -> None:
        if not math.isfinite(loss):
            raise LossDiverged(f"the training loss became {loss} at step {step}", hint=_DIVERGED_HINT)
        if not math.isfinite(norm) and self._scaler is None:  # a scaler skips such a step by itself
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
