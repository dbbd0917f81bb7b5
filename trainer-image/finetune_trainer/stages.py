"""The stages of a run, each a function of what the stages before it made."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_api.manifest import Lineage
from finetune_api.metrics import Metric, metric_named
from finetune_api.outcome import EvaluationResult
from finetune_api.report import CurvePoint, Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.training import Precision
from finetune_trainer.cache import cache_folder
from finetune_trainer.data.batches import BatchPlan
from finetune_trainer.data.collate import RowSource
from finetune_trainer.data.tokens import Tokens, describe_lengths
from finetune_trainer.evaluation.gates import check_gates
from finetune_trainer.evaluation.verdict import judge
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models.classifier import load_tokenizer, position_limit
from finetune_trainer.models.files import ModelFiles, fetch_model
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import describe_hardware
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.plan import plan_steps, resolve_values
from finetune_trainer.storage import Site
from finetune_trainer.tasks.sequence_classification import Logits, SequenceClassification
from finetune_trainer.training.best_weights import BestWeights
from finetune_trainer.training.dropout import fast_dropout
from finetune_trainer.training.fast_lora import fast_lora
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.loop import Loop, TrainingPlan
from finetune_trainer.training.precision import choose_precision, use_allotted_cpus
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


def prepare_model(task: SequenceClassification, site: Site, notes: Notes, observer: RunObserver) -> Ready:
    """Fetch and load the model, tokenise the rows, apply the method.

    Raises whatever says that model, method and data don't go together; no training has begun by then.
    """
    spec = task.spec
    precision = choose_precision(spec.training.precision)
    notes.hardware = describe_hardware(use_allotted_cpus(), precision)
    files = fetch_model(spec.model, site)
    tokenizer = load_tokenizer(files)
    resolved = resolve_values(spec, position_limit(files, tokenizer))
    tokens = _tokenise(task, tokenizer, resolved.max_length, notes, observer)
    accelerator = Accelerator(mixed_precision=_MIXED_PRECISION[precision], cpu=not torch.cuda.is_available())
    model = task.load(files, tokenizer).to(accelerator.device)
    _check_vocabulary(model, tokens, files.uri)
    if spec.training.activation_checkpointing:
        model.activation_checkpointing_enable()
    adapted = METHODS[spec.method.type](model, files, spec.method, cache_folder("features"))
    rows = _rows(adapted, tokens, notes, observer)
    notes.resolved, notes.parameters = resolved, _count(adapted)
    observer.model_ready(notes.parameters, resolved, notes.hardware)
    return Ready(files, tokenizer, adapted, tokens, rows, resolved, accelerator)


def score_baseline(task: SequenceClassification, ready: Ready, observer: RunObserver) -> Logits:
    """Logits of the untouched model on the rows of the final evaluation."""
    rows = ready.rows[evaluation_split(task)]
    with observer.working("baseline", len(rows.lengths)) as advance:
        return predict_logits(ready.adapted.model, rows, advance)


def train(task: SequenceClassification, ready: Ready, scratch: Path, notes: Notes, observer: RunObserver) -> None:
    """Train, and leave the best state in the model."""
    spec, model = task.spec, ready.adapted.model
    plan = _plan(task, ready)
    torch.manual_seed(spec.training.seed)
    with ExitStack() as swapped:
        if ready.accelerator.device.type == "cpu":
            swapped.enter_context(fast_dropout(model))
            if ready.accelerator.mixed_precision == "no":
                swapped.enter_context(fast_lora(model))
        ids = [tokens.ids for tokens in ready.tokens.values()]
        swapped.enter_context(only_used_rows(model, used_token_ids(ids, ready.tokenizer.pad_token_id)))
        loop = Loop(model, ready.rows["train"], task.target_tensor("train"), plan, ready.accelerator)

        def measure() -> dict[str, float]:
            return task.measure("validation", predict_logits(model, ready.rows["validation"]))

        evaluate_on_validation = None
        if "validation" in ready.rows:
            start = measure()
            _check_measured(plan.metric, start)
            notes.curves = [CurvePoint(step=0, epoch=0, validation=start)]
            evaluate_on_validation = measure
        result = loop.run(evaluate_on_validation, BestWeights(scratch), observer)
    ready.accelerator.free_memory()
    notes.curves = [*notes.curves, *result.curves]
    notes.throughput = result.throughput
    notes.evaluation = notes.evaluation.model_copy(update={"best": result.best})
    prior = task.prior_loss("validation") if "validation" in ready.rows else None
    notes.verdict = judge(notes.curves, prior, result.best)


def evaluate(
    task: SequenceClassification, ready: Ready, baseline: Logits | None, notes: Notes, observer: RunObserver
) -> None:
    """Measure the tuned model on the held-out rows and check the gates."""
    split = evaluation_split(task)
    rows = ready.rows[split]
    with observer.working("evaluating", len(rows.lengths)) as advance:
        logits = predict_logits(ready.adapted.model, rows, advance)
    metrics = task.measure(split, logits)
    before = task.measure(split, baseline) if baseline is not None else {}
    notes.evaluated_on = split
    notes.evaluation = EvaluationResult(
        metrics=metrics,
        baseline=before,
        gates=check_gates(task.spec.evaluation.gates, metrics, before),
        best=notes.evaluation.best,
    )
    notes.details = task.details(split, logits, baseline)
    observer.measured(notes.evaluation, split)


def export(task: SequenceClassification, ready: Ready, staged: Path, lineage: Lineage, notes: Notes) -> None:
    """Write model, tokenizer, settings, model card and report into the staging folder."""
    from finetune_trainer.reporting.card import render_card

    model_folder = staged / "model"
    model_folder.mkdir(parents=True)
    with notes.timed("export"):
        merge = ready.adapted.merge if task.spec.output.merge_adapter else None
        (merge or ready.adapted.save)(model_folder)
        ready.tokenizer.save_pretrained(model_folder)
        task.save_settings(model_folder, ready.resolved.max_length)
    report = notes.report()
    for path, text in _report_files(report).items():
        (staged / path).parent.mkdir(exist_ok=True)
        (staged / path).write_text(text, encoding="utf-8")
    (staged / "README.md").write_text(render_card(report, lineage), encoding="utf-8")


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


def evaluation_split(task: SequenceClassification) -> str:
    """The split that the final figures come from: test, else validation, else the training rows."""
    return next(split for split in ("test", "validation", "train") if split in task.data.splits)


def _tokenise(
    task: SequenceClassification,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    notes: Notes,
    observer: RunObserver,
) -> dict[str, Tokens]:
    tokens, cache = {}, cache_folder("tokens")
    total = sum(len(examples.texts) for examples in task.data.splits.values())
    with observer.working("tokenising", total) as advance:
        for split in task.data.splits:
            tokens[split] = task.tokenise(split, tokenizer, max_length, cache, advance)
    splits = {
        name: report.model_copy(update={"lengths": describe_lengths(tokens[name], max_length)})
        for name, report in task.data.report.splits.items()
    }
    notes.data = task.data.report.model_copy(update={"splits": splits})
    observer.data_ready(notes.data)
    return tokens


def _check_vocabulary(model: "PreTrainedModel", tokens: dict[str, Tokens], uri: str) -> None:
    highest = max(int(part.ids.max()) for part in tokens.values())
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
                rows[split] = adapted.rows(part, advance)
    return rows


def _count(adapted: Adapted) -> Parameters:
    trainable = sum(parameter.numel() for parameter in adapted.model.parameters() if parameter.requires_grad)
    return Parameters(total=adapted.total_parameters, trainable=trainable)


def _plan(task: SequenceClassification, ready: Ready) -> TrainingPlan:
    training, rows = task.spec.training, ready.rows["train"]
    batches = BatchPlan(
        lengths=rows.lengths,
        batch_size=ready.resolved.batch_size,
        device_batch_size=training.device_batch_size,
        token_budget=_TOKENS_A_PASS[ready.accelerator.device.type],
        pass_cost=_PASS_COST[ready.accelerator.device.type],
        seed=training.seed,
    )
    steps = plan_steps(task.spec, ready.resolved, len(rows.lengths))
    metric = metric_named(task.spec.task, task.spec.evaluation.metric)
    return TrainingPlan(
        training, ready.resolved.learning_rate, steps.total, steps.evaluate_every, metric, batches, task.objective()
    )


def _check_measured(metric: Metric, measured: dict[str, float]) -> None:
    if not measured:
        message = "the untouched model's outputs are not numbers"
        raise ModelUnsuitable(message, where="spec.model.uri", hint="its weights are damaged; get the model again")
    if metric.name not in measured:
        message = f"{metric.name} can't be computed on the validation rows: they lack a class, or the label is unknown"
        hint = "use a larger data.split.validation, or another metric"
        raise SpecInvalid(message, where="spec.evaluation.metric", hint=hint)
