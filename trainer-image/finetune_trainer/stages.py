"""The stages of a run, each a function of what the stages before it made."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_api.metrics import Metric, metric_named
from finetune_api.outcome import EvaluationResult
from finetune_api.report import CurvePoint, Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.training import Precision
from finetune_trainer.cache import cache_folder
from finetune_trainer.data.tokenising.batches import BatchPlan
from finetune_trainer.data.tokenising.collate import RowSource, SeveralTexts
from finetune_trainer.data.tokenising.learned import sample_line
from finetune_trainer.data.tokenising.tokens import Tokens, describe_lengths
from finetune_trainer.drift.reference import save_reference
from finetune_trainer.evaluation.gates import check_gates
from finetune_trainer.evaluation.verdict import judge
from finetune_trainer.evaluation.worth import judge_worth
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models.classifier import head_note, load_tokenizer, position_limit
from finetune_trainer.models.files import ModelFiles, fetch_model
from finetune_trainer.models.hidden_layer import has_hidden_layer
from finetune_trainer.models.sources import Source
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.finished import PREDICTIONS
from finetune_trainer.output.lineage import describe_hardware
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.plan import plan_steps, resolve_values
from finetune_trainer.prediction.batch import write_predictions
from finetune_trainer.storage import Site
from finetune_trainer.tasks.beside import measure_all
from finetune_trainer.tasks.few_shot import FewShot, few_shot_of
from finetune_trainer.tasks.merged import save_merged_settings
from finetune_trainer.tasks.mixed import Validation, course_of, tokenise_sources
from finetune_trainer.tasks.retention import Skill, skill_of
from finetune_trainer.tasks.settings import save_settings
from finetune_trainer.tasks.task import Anchored, Equipped, SelfTaught, Task
from finetune_trainer.training.dropout import fast_dropout
from finetune_trainer.training.fast_lora import fast_lora
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.keeping import Keeping
from finetune_trainer.training.loop import Loop, TrainingPlan
from finetune_trainer.training.noise import noisy_inputs
from finetune_trainer.training.precision import choose_precision, use_allotted_cpus
from finetune_trainer.training.state_random import seed_everything
from finetune_trainer.training.vocabulary import only_used_rows, used_token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENS_A_PASS = {"cpu": 2_048, "cuda": 16_384}
_PASS_COST = {"cpu": 128, "cuda": 8_192}
_MIXED_PRECISION = {Precision.FP32: "no", Precision.BF16: "bf16", Precision.FP16: "fp16"}


@dataclass(frozen=True)
class Ready:
    """A model that can be trained, and the rows in the shape that it takes."""

    files: ModelFiles
    tokenizer: "PreTrainedTokenizerBase"
    adapted: Adapted
    tokens: dict[str, Tokens]
    rows: dict[str, RowSource]
    resolved: Resolved
    accelerator: Accelerator
    skill: Skill | None = None
    few_shot: FewShot | None = None


def prepare_model(
    task: Task, site: Site, notes: Notes, observer: RunObserver, reader: "PreTrainedTokenizerBase | None" = None
) -> Ready:
    """Fetch and load the model, tokenise the rows, apply the method. `reader` goes before the model's own tokenizer.

    Raises whatever says that model, method and data don't go together; no training has begun by then.
    """
    spec = task.spec
    precision = choose_precision(spec.training.precision)
    notes.hardware = describe_hardware(use_allotted_cpus(), precision)
    files = fetch_model(spec.model, site)
    tokenizer = reader or load_tokenizer(files)
    limit = position_limit(files, tokenizer)
    resolved = resolve_values(spec, limit)
    tokens = _tokenise(task, tokenizer, resolved.max_length, notes, observer)
    accelerator = Accelerator(mixed_precision=_MIXED_PRECISION[precision], cpu=not torch.cuda.is_available())
    if isinstance(task, Equipped):
        task.equip(site)
    seed_everything(spec.training.seed)  # new heads and adapters start at random
    model = task.load(files, tokenizer).to(accelerator.device)
    _check_vocabulary(model, tokens, files.uri)
    note = head_note(files, model)
    if note:
        observer.said(note)
    if spec.training.activation_checkpointing:
        model.activation_checkpointing_enable()
    adapted = METHODS[spec.method.type](model, files, spec.method, cache_folder("features"))
    rows = _rows(adapted, tokens, notes, observer)
    if isinstance(task, SelfTaught) and "train" in rows:
        rows["train"] = task.training_rows(rows["train"])
    notes.resolved, notes.parameters = resolved, _count(adapted)
    observer.model_ready(notes.parameters, resolved, notes.hardware)
    skill = skill_of(task, files, tokenizer, adapted, resolved.max_length)
    split = evaluation_split(task)
    few_shot = few_shot_of(task, split, tokenizer, adapted, max_length=resolved.max_length, limit=limit)
    if few_shot is not None and few_shot.note:
        observer.said(few_shot.note)
    ready = Ready(files, tokenizer, adapted, tokens, rows, resolved, accelerator, skill, few_shot)
    _look_at_base(task, ready, notes, observer)
    return ready


def _look_at_base(task: Task, ready: Ready, notes: Notes, observer: RunObserver) -> None:
    """Let a task that compares with it see the model as it came, in the precision that it will be trained in."""
    if not (isinstance(task, Anchored) and task.needs_base):
        return
    weights = f"{ready.files.digest()} {ready.accelerator.device.type} {ready.accelerator.mixed_precision}"
    total = sum(len(part.lengths) for part in ready.rows.values())
    with (
        notes.timed("reference"),
        ready.adapted.untouched(),
        ready.accelerator.autocast(),
        observer.working("reference", total) as advance,
    ):
        task.remember_base(ready.adapted.model, ready.rows, weights, cache_folder("references"), advance)


def score_baseline(task: Task, ready: Ready, observer: RunObserver) -> Outputs:
    """Outputs of the untouched model on the rows of the final evaluation, and where the job asks for it with examples.

    They go with checkpoints: an attempt that goes on from one has them.
    """
    with ready.adapted.untouched():
        outputs = look(task, ready, "baseline", observer)
        if ready.few_shot is None:
            return outputs
        with observer.working("examples", len(ready.few_shot.rows.lengths)) as advance:
            return outputs | ready.few_shot.infer(ready.adapted.model, ready.tokenizer, advance)


def look(task: Task, ready: Ready, what: str, observer: RunObserver) -> Outputs:
    """What the model says now of the rows of the final evaluation, and of those of the old skill."""
    rows, skill = ready.rows[evaluation_split(task)], ready.skill
    total = len(rows.lengths) + (len(skill.rows.lengths) if skill else 0)
    with observer.working(what, total) as advance:
        outputs = task.infer(ready.adapted.model, rows, ready.tokenizer, advance, thorough=True)
        return outputs | (skill.infer(advance) if skill else {})


def train(task: Task, ready: Ready, keeping: Keeping, notes: Notes, observer: RunObserver) -> None:
    """Train, and leave the best state in the model. Goes on from what `keeping` has found, and keeps what comes."""
    plan = _plan(task, ready)
    seed_everything(task.spec.training.seed)
    with _swapped_for_training(task, ready):
        loss = task.loss(ready.tokens["train"])
        validation = _validation(task, ready)
        measure, losses = (validation.measure, validation.losses) if validation else (None, dict)
        loop = Loop(
            ready.adapted.model, ready.rows["train"], loss, plan, ready.accelerator, best=keeping.best, losses=losses
        )
        if measure is not None and keeping.known.start is None:
            start = measure()
            _check_measured(plan.metric, start)
            point = CurvePoint(step=0, epoch=0, validation=start, sources=losses())
            keeping.known = replace(keeping.known, start=point)
        _go_on(loop, keeping, notes, observer)
        keeping.begin(task.spec.checkpoints.every_steps or plan.batches.steps_per_epoch)
        try:
            result = loop.run(measure, observer, keeping)
        finally:
            notes.step = loop.step
    keeping.training_is_over()
    ready.accelerator.free_memory()
    notes.curves = [*filter(None, [keeping.known.start]), *result.curves]
    notes.throughput = result.throughput
    notes.evaluation = notes.evaluation.model_copy(update={"best": result.best})
    prior = task.prior_loss("validation") if "validation" in ready.rows else None
    own = task.verdict(notes.curves, result.best) if isinstance(task, SelfTaught) else None
    notes.verdict = own or judge(notes.curves, prior, result.best)


@contextmanager
def _swapped_for_training(task: Task, ready: Ready) -> Iterator[None]:
    """Put modules that do the same with less work in the model's place, inside the block."""
    model = ready.adapted.model
    with ExitStack() as swapped:
        if ready.accelerator.device.type == "cpu":
            swapped.enter_context(fast_dropout(model))
            if ready.accelerator.mixed_precision == "no":
                swapped.enter_context(fast_lora(model))
        if task.sees_only_its_rows:
            ids = [tokens.ids for tokens in ready.tokens.values()]
            swapped.enter_context(only_used_rows(model, used_token_ids(ids, ready.tokenizer.pad_token_id)))
        if task.spec.training.neftune_alpha:
            swapped.enter_context(noisy_inputs(model, task.spec.training.neftune_alpha))
        yield


def _validation(task: Task, ready: Ready) -> Validation | None:
    """What measures the validation rows; None where there are none."""
    if "validation" not in ready.rows:
        return None
    model, rows = ready.adapted.model, ready.rows["validation"]
    look = partial(task.infer, model, rows, ready.tokenizer, _untold, thorough=False)
    return Validation(task, ready.tokens["validation"], look)


def _go_on(loop: Loop, keeping: Keeping, notes: Notes, observer: RunObserver) -> None:
    resumed = keeping.resume(loop)
    if resumed is not None:
        notes.resumed_from = notes.step = loop.step
        observer.resumed(loop.step, resumed.manifest.attempt)


def evaluate(task: Task, ready: Ready, baseline: Outputs | None, notes: Notes, observer: RunObserver) -> None:
    """Measure the tuned model on the held-out rows and check the gates."""
    split = evaluation_split(task)
    outputs = look(task, ready, "evaluating", observer)
    measured = measure_all(
        task, ready.tokens[split], ready.skill, split, after=outputs, before=baseline, few_shot=ready.few_shot
    )
    metrics, before = measured.metrics, measured.baseline
    notes.evaluated_on = split
    notes.evaluation = EvaluationResult(
        metrics=metrics,
        baseline=before,
        few_shot=measured.few_shot,
        gates=check_gates(task.spec.evaluation.gates, metrics, before, task.spec.task),
        best=notes.evaluation.best,
    )
    notes.details = measured.details
    worth = judge_worth(task.spec, notes.evaluation, split)
    if worth is not None:
        notes.evaluation = notes.evaluation.model_copy(update={"remark": worth.remark})
        if not worth.is_good:
            observer.warned(worth.remark)
    observer.measured(notes.evaluation, split)


def export(task: Task, ready: Ready, staged: Path, notes: Notes, settings_of: Source | None = None) -> None:
    """Write model, tokenizer, settings, model card and report into the staging folder.

    With `settings_of` the settings are those of a result that was merged.
    """
    from finetune_trainer.reporting.card import render_card

    model_folder = staged / "model"
    model_folder.mkdir(parents=True)
    with notes.timed("export"):
        merge = ready.adapted.merge if task.spec.output.merge_adapter else None
        (merge or ready.adapted.save)(model_folder)
        ready.tokenizer.save_pretrained(model_folder)
        if settings_of is None:
            save_settings(task, model_folder, ready.resolved.max_length)
        else:
            save_merged_settings(task.spec, settings_of, model_folder)
        if "train" in task.data.splits:
            save_reference(model_folder, task.data.splits["train"], ready.tokenizer, notes)
    report = notes.report()
    for path, text in _report_files(report).items():
        (staged / path).parent.mkdir(exist_ok=True)
        (staged / path).write_text(text, encoding="utf-8")
    card = render_card(report, hidden_layer=has_hidden_layer(model_folder))
    (staged / "README.md").write_text(card, encoding="utf-8")


def predict(task: Task, ready: Ready, staged: Path, site: Site, *, rows: int, observer: RunObserver) -> None:
    """Write what the exported model says of the rows that the job asks about; nothing trains after this.

    Raises the failures of reading them.
    """
    wanted = task.spec.predict
    if wanted is None:
        return
    ready.adapted.model.to("cpu")  # the exported one takes its place
    with observer.working("predicting", rows) as advance:
        write_predictions(staged / "model", ready.files, wanted, site, target=staged / PREDICTIONS, advance=advance)


def publish_report(report: Report, output: OutputFolder) -> None:
    """Write the report of a run that failed, and nothing else."""
    for path, text in _report_files(report).items():
        output.put(path, text.encode())


def _report_files(report: Report) -> dict[str, str]:
    from finetune_trainer.reporting.page import render_page

    return {
        "report/report.json": report.model_dump_json(by_alias=True, indent=2),
        "report/index.html": render_page(report),
    }


def _untold(_rows: int) -> None:
    """Validation is quick, and training's own bar goes on."""


def evaluation_split(task: Task) -> str:
    """The split that the final figures come from: test, else validation, else the training rows."""
    return next(split for split in ("test", "validation", "train") if split in task.data.splits)


def _tokenise(
    task: Task,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    notes: Notes,
    observer: RunObserver,
) -> dict[str, Tokens]:
    tokens, cache = {}, cache_folder("tokens")
    total = sum(len(examples.texts) for examples in task.data.splits.values())
    with observer.working("tokenising", total) as advance:
        for split in task.data.splits:
            tokens[split] = tokenise_sources(task, split, tokenizer, max_length, cache=cache, advance=advance)
    splits = {
        name: report.model_copy(update={"lengths": describe_lengths(tokens[name], max_length)})
        for name, report in task.data.report.splits.items()
    }
    notes.data = task.describe_tokens(task.data.report.model_copy(update={"splits": splits}), tokens, tokenizer)
    observer.data_ready(notes.data)
    if notes.data.sample:
        observer.said(sample_line(notes.data.sample))
    return tokens


def _check_vocabulary(model: "PreTrainedModel", tokens: dict[str, Tokens], uri: str) -> None:
    whole = [*tokens.values(), *(part.outputs for part in tokens.values() if part.outputs is not None)]
    highest = max(int(part.ids.max()) for part in whole)
    size = model.config.vocab_size
    if highest >= size:
        message = f"{uri}: the tokenizer makes token {highest}, but the model knows {size} tokens only"
        hint = "use the tokenizer that belongs to the model"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=hint)


def _rows(adapted: Adapted, tokens: dict[str, Tokens], notes: Notes, observer: RunObserver) -> dict[str, RowSource]:
    rows = {}
    with observer.working("preparing rows", sum(len(part) for part in tokens.values())) as advance:
        for split, part in tokens.items():
            with notes.timed(f"rows.{split}"):
                source = adapted.rows(part, advance)
                rows[split] = source if part.texts_a_row == 1 else SeveralTexts(source, part.texts_a_row)
    return rows


def _count(adapted: Adapted) -> Parameters:
    trainable = sum(parameter.numel() for parameter in adapted.model.parameters() if parameter.requires_grad)
    return Parameters(total=adapted.total_parameters, trainable=trainable)


def _plan(task: Task, ready: Ready) -> TrainingPlan:
    training, rows = task.spec.training, ready.rows["train"]
    steps = plan_steps(task.spec, ready.resolved, len(rows.lengths))
    batches = BatchPlan(
        lengths=rows.lengths,
        batch_size=ready.resolved.batch_size,
        device_batch_size=training.device_batch_size,
        token_budget=_TOKENS_A_PASS[ready.accelerator.device.type],
        pass_cost=_PASS_COST[ready.accelerator.device.type],
        seed=training.seed,
        course=course_of(task, ready.tokens["train"], rows.lengths, steps.rows(ready.resolved.batch_size)),
    )
    metric = metric_named(task.spec.task, task.spec.evaluation.metric)
    rate, factor = ready.resolved.learning_rate, ready.adapted.rate_factor
    passes = task.passes if isinstance(task, SelfTaught) else 1
    return TrainingPlan(training, rate, steps.total, steps.evaluate_every, metric, batches, factor, passes)


def _check_measured(metric: Metric, measured: dict[str, float]) -> None:
    if not measured:
        message = "the untouched model's outputs are not numbers"
        raise ModelUnsuitable(message, where="spec.model.uri", hint="its weights are damaged; get the model again")
    if metric.name not in measured:
        message = f"{metric.name} can't be computed on the validation rows: they lack a class, or the label is unknown"
        hint = "use a larger data.split.validation, or another metric"
        raise SpecInvalid(message, where="spec.evaluation.metric", hint=hint)
