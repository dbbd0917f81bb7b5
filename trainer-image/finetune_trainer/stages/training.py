"""Training stage: resumes from a checkpoint, and leaves the best state in the model."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from torch import nn

from finetune_api.curves import CurvePoint
from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_api.metrics import Metric, metric_named
from finetune_api.outcome import EvaluationResult
from finetune_api.resolved import PENALTIES
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.packed_rows import PackedRows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.fit_diagnosis import diagnose_fit
from finetune_trainer.memory.token_budget import training_tokens
from finetune_trainer.methods.head_only import HeadOnly
from finetune_trainer.models.attention import pretrained
from finetune_trainer.observer import Monitor, PassLimit, RunObserver
from finetune_trainer.plan import plan_steps
from finetune_trainer.run_record import TrainingSummary
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.preparing import PreparedModel
from finetune_trainer.tasks.mixed import Validation, sampler_of
from finetune_trainer.tasks.task import InferenceContext, OnPolicyTask, Task
from finetune_trainer.training.checkpointing import CheckpointCallback
from finetune_trainer.training.head_solver import HeadSolver, Penalties
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.loop import Loop, TrainingPlan, TrainingResult
from finetune_trainer.training.losses.base import Loss, TokenLoss
from finetune_trainer.training.losses.packed import PackedTokenLoss
from finetune_trainer.training.neftune import neftune_noise
from finetune_trainer.training.speedups.dropout import fast_dropout
from finetune_trainer.training.speedups.embedding_rows import restricted_embedding, used_token_ids
from finetune_trainer.training.speedups.lora import fast_lora
from finetune_trainer.training.speedups.packed_attention import packing_attention
from finetune_trainer.training.state.rng import seed_everything

PASS_COST = {"cpu": 128, "cuda": 8_192}


def train(
    ready: PreparedModel, checkpoints: CheckpointCallback, observer: RunObserver, stop: StopToken
) -> TrainingSummary:
    """Train, and leave the best state in the model. Resumes from the checkpoint found, and saves new ones."""
    task = ready.task
    seed_everything(task.spec.training.seed)
    with swapped_for_training(ready.task, ready.adapted.model, _swaps(ready)):
        loss = task.loss(ready.tokens["train"], ready.rows["train"], ready.adapted.model, ready.tokenizer)
        validation = _validation(ready, observer, stop)
        measure, losses = (validation.measure, validation.losses) if validation else (None, dict)
        if measure is not None and checkpoints.known.start is None:
            start = measure()
            _check_measured(metric_named(task.spec.task, task.spec.evaluation.metric), start)
            point = CurvePoint(step=0, epoch=0, validation=start, sources=losses())
            checkpoints.known = replace(checkpoints.known, start=point)
        if ready.resolved.penalties:
            result = _solver(ready, loss, stop).solve(measure, observer, losses)
            checkpoints.step = result.steps
        else:
            result = _in_steps(ready, loss, checkpoints, observer=observer, validation=validation, stop=stop)
    checkpoints.training_is_over()
    ready.accelerator.free_memory()
    curves = [*filter(None, [checkpoints.known.start]), *result.curves]
    prior = task.prior_loss("validation") if "validation" in ready.rows else None
    own = task.verdict(curves, result.best) if isinstance(task, OnPolicyTask) else None
    verdict = own or diagnose_fit(curves, prior, result.best)
    return TrainingSummary(EvaluationResult(best=result.best), curves, result.throughput, verdict)


def _in_steps(
    ready: PreparedModel,
    loss: Loss,
    checkpoints: CheckpointCallback,
    *,
    observer: RunObserver,
    validation: Validation | None,
    stop: StopToken,
) -> TrainingResult:
    """Train by gradient steps, from a checkpoint if any."""
    plan, measure = _plan(ready), validation.measure if validation else None
    losses = validation.losses if validation else dict
    model = ready.adapted.model
    rows, loss = _packed(ready, loss) if ready.packs_rows else (ready.rows["train"], loss)
    loop = Loop(model, rows, loss, plan, ready.accelerator, best=checkpoints.best, stop=stop, losses=losses)
    resumed = checkpoints.resume(loop)
    if resumed is not None:
        if resumed.run is not None:
            observer.said(f"continues job {resumed.run.job}, uid {resumed.run.uid}: {resumed.run.uri}")
        observer.resumed(loop.step, resumed.manifest.attempt)
    checkpoints.begin(ready.task.spec.checkpoints.save_steps or plan.batches.steps_per_epoch)
    try:
        return loop.run(measure, observer, checkpoints)
    finally:
        checkpoints.step = loop.step


def _packed(ready: PreparedModel, loss: Loss) -> tuple[PackedRows, PackedTokenLoss]:
    """The training rows packed, and the loss over them."""
    if not isinstance(loss, TokenLoss):
        raise TypeError(loss)
    rows = PackedRows(ready.tokens["train"])
    return rows, PackedTokenLoss(loss, rows)


def _solver(ready: PreparedModel, loss: Loss, stop: StopToken) -> HeadSolver:
    """Solver of the head over cached features; it takes seconds, so it restarts instead of resuming."""
    task = ready.task
    head = ready.adapted.model
    if not isinstance(head, HeadOnly):
        raise TypeError(head)
    metric = metric_named(task.spec.task, task.spec.evaluation.metric)
    penalties = Penalties(PENALTIES, metric, task.spec.training.early_stopping)
    return HeadSolver(head, ready.rows["train"], loss, penalties, stop)


@dataclass(frozen=True)
class Swaps:
    """What decides on the modules that are replaced while training."""

    on_cpu: bool
    is_mixed: bool
    """Whether passes are in mixed precision."""
    tokens: Mapping[str, Tokens]
    """All tokens of the job, by split."""
    pad_id: int | None
    packs_rows: bool = False


def _swaps(ready: PreparedModel) -> Swaps:
    accelerator = ready.accelerator
    is_mixed = accelerator.mixed_precision != "no"
    return Swaps(
        on_cpu=accelerator.device.type == "cpu",
        is_mixed=is_mixed,
        tokens=ready.tokens,
        pad_id=ready.tokenizer.pad_token_id,
        packs_rows=ready.packs_rows,
    )


@contextmanager
def swapped_for_training(task: Task, model: nn.Module, swaps: Swaps) -> Iterator[None]:
    """Inside the block, replace modules by faster equivalents."""
    with ExitStack() as swapped:
        if swaps.on_cpu:
            swapped.enter_context(fast_dropout(model))
            if not swaps.is_mixed:
                swapped.enter_context(fast_lora(model))
        if swaps.packs_rows:
            swapped.enter_context(packing_attention(pretrained(model)))
        if task.uses_only_dataset_tokens:
            ids = [tokens.ids for tokens in swaps.tokens.values()]
            swapped.enter_context(restricted_embedding(model, used_token_ids(ids, swaps.pad_id)))
        if task.spec.training.neftune_noise_alpha:
            swapped.enter_context(neftune_noise(model, task.spec.training.neftune_noise_alpha))
        yield


def _validation(ready: PreparedModel, observer: RunObserver, stop: StopToken) -> Validation | None:
    """Evaluation of the validation rows; None without any."""
    task = ready.task
    if "validation" not in ready.rows:
        return None
    model, rows = ready.adapted.model, ready.rows["validation"]

    monitor = Monitor(stop=stop, limit=PassLimit(observer.warned))
    context = InferenceContext(ready.tokenizer, generate=False, monitor=monitor)

    def look() -> Outputs:
        with ready.accelerator.autocast():
            return task.infer(model, "validation", rows, context)

    return Validation(task, ready.tokens["validation"], look)


def _plan(ready: PreparedModel) -> TrainingPlan:
    task = ready.task
    training, rows = task.spec.training, ready.rows["train"]
    steps = plan_steps(task.spec, ready.resolved, len(rows.lengths))
    batches = BatchPlan(
        lengths=rows.lengths,
        batch_size=ready.resolved.batch_size,
        per_device_batch_size=training.per_device_batch_size,
        token_budget=_token_budget(ready),
        pass_cost=PASS_COST[ready.accelerator.device.type],
        seed=training.seed,
        packed=ready.packs_rows,
        course=sampler_of(task, ready.tokens["train"], rows.lengths, steps.rows(ready.resolved.batch_size)),
    )
    metric = metric_named(task.spec.task, task.spec.evaluation.metric)
    rate, factor = ready.resolved.learning_rate, ready.adapted.lr_factor
    passes = task.passes if isinstance(task, OnPolicyTask) else 1
    return TrainingPlan(training, rate, steps.total, steps.evaluate_every, metric, batches, factor, passes)


def _token_budget(ready: PreparedModel) -> int:
    longest = max(tokens.lengths.max(initial=1) for tokens in ready.tokens.values())
    mixed = ready.accelerator.mixed_precision != "no"
    return training_tokens(ready.adapted.model, ready.accelerator.device, int(longest), mixed=mixed)


def _check_measured(metric: Metric, measured: dict[str, float]) -> None:
    if not measured:
        message = "the base model's outputs are not numbers"
        raise ModelUnsuitable(message, where="spec.model.uri", hint="its weights are damaged; get the model again")
    if metric.name not in measured:
        message = f"{metric.name} can't be computed on the validation rows: they lack a class, or the label is unknown"
        hint = "use a larger data.split.validation, or another metric"
        raise SpecInvalid(message, where="spec.evaluation.metric", hint=hint)
