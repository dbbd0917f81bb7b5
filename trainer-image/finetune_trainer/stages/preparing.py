"""Preparation of a job: tokenised rows, and a model with its method applied."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator

from finetune_api.data_report import DataReport
from finetune_api.inference import Quantization
from finetune_api.report import Parameters
from finetune_api.resolved import Resolved, settle_method
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_trainer.cache import cache_folder
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.learned import sample_line
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.methods.adapted import whole_rows
from finetune_trainer.models.attention import check_available, current_attention, pretrained, set_attention
from finetune_trainer.models.classifier import head_note
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import ModelLoading, compute_dtype_of
from finetune_trainer.observer import Monitor, PassLimit, RunObserver
from finetune_trainer.output.lineage import describe_hardware
from finetune_trainer.run_record import Timings
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import rows_in_template
from finetune_trainer.stages.packing import packs_rows, prefer_flash_attention
from finetune_trainer.stages.tokens import highest_token_id, report_with_tokens, tokenise_splits
from finetune_trainer.storage import Site
from finetune_trainer.tasks.few_shot import FewShot, few_shot_of
from finetune_trainer.tasks.retention import RetentionTask, retention_task_of
from finetune_trainer.tasks.task import NeedsReference, NeedsRewardModel, OnPolicyTask, ReferenceInputs, Task
from finetune_trainer.training.precision import allow_tf32, build_accelerator, choose_precision, use_allotted_cpus
from finetune_trainer.training.state.rng import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenisedRows:
    """The tokens of all splits of a job."""

    task: Task
    """The task on the rows that its chat template can write."""
    tokens: dict[str, Tokens]
    """By split."""
    resolved: Resolved
    report: DataReport
    """The data report with what only tokens tell."""


@dataclass(frozen=True)
class PreparedModel:
    """A model ready for training, and its rows."""

    task: Task
    files: ModelFiles
    tokenizer: "PreTrainedTokenizerBase"
    adapted: Adapted
    tokens: dict[str, Tokens]
    rows: dict[str, RowSource]
    resolved: Resolved
    accelerator: Accelerator
    parameters: Parameters
    packs_rows: bool = False
    """Whether it is trained on packed rows."""
    retention: RetentionTask | None = None
    few_shot: FewShot | None = None


def take_hardware(spec: Spec) -> dict[str, str]:
    """Configure CPU threads, device and precision; returns their description.

    Raises `SpecInvalid` for a precision or attention that is not to be had here.
    """
    check_available(spec.training.attn_implementation, has_gpu=torch.cuda.is_available())
    allow_tf32(spec.training.precision)
    return describe_hardware(use_allotted_cpus(), choose_precision(spec.training.precision))


def tokenise_rows(task: Task, base: BaseModel, observer: RunObserver) -> TokenisedRows:
    """Tokenise all splits. Raises failures where rows, tokenizer and limits do not fit together."""
    task, resolved = rows_in_template(task, base)
    tokens = tokenise_splits(task, base.tokenizer, resolved.max_length, observer)
    base.check_ids(highest_token_id(tokens))
    task = task.with_tokens(tokens, base.tokenizer, resolved.max_length)
    report = report_with_tokens(task, tokens, base.tokenizer, resolved.max_length)
    observer.data_ready(report)
    if report.sample:
        observer.said(sample_line(report.sample))
    return TokenisedRows(task, tokens, resolved, report)


def prepare_model(
    tokenised: TokenisedRows,
    base: BaseModel,
    site: Site,
    *,
    hardware: dict[str, str],
    timings: Timings,
    observer: RunObserver,
) -> PreparedModel:
    """Download and load the model, apply the method, and convert the rows to its inputs.

    Raises whatever says that model, method and data don't go together; no training has begun by then.
    """
    task, tokens, resolved = tokenised.task, tokenised.tokens, tokenised.resolved
    spec, tokenizer = task.spec, base.tokenizer
    files = fetch_model(spec.model, site)
    accelerator = build_accelerator(choose_precision(spec.training.precision))
    if isinstance(task, NeedsRewardModel):
        task = task.with_reward_model(site)
    adapted = _adapted(task, files, tokenizer, accelerator, observer)
    rows = _rows(adapted, tokens, timings, observer)
    if isinstance(task, OnPolicyTask) and "train" in rows:
        rows["train"] = task.training_rows(rows["train"])
    parameters = _count(adapted)
    observer.model_ready(parameters, resolved, hardware)
    with accelerator.autocast():
        packs = "train" in rows and packs_rows(spec, adapted.model, observer)
    return PreparedModel(
        task, files, tokenizer, adapted, tokens, rows, resolved, accelerator, parameters, packs_rows=packs
    )


def describe_computation(ready: PreparedModel) -> dict[str, str]:
    """What the report says of the kernels that a prepared model is trained with."""
    training = ready.task.spec.training
    attention = current_attention(pretrained(ready.adapted.model))
    packing = "packed rows" if ready.packs_rows else "rows of like length"
    return {"attention": attention, "batches": packing, "optimizer": str(training.optimizer)}


def _adapted(
    task: Task,
    files: ModelFiles,
    tokenizer: "PreTrainedTokenizerBase",
    accelerator: Accelerator,
    observer: RunObserver,
) -> Adapted:
    """The base model on its device, with the method applied."""
    spec = task.spec
    model = load_model(task, files, tokenizer, _how(spec, accelerator)).to(accelerator.device)
    prefer_flash_attention(spec, model, accelerator, files.uri)
    if spec.method.type is MethodType.QLORA and accelerator.device.type == "cpu":
        observer.warned("there is no GPU here: QLoRA saves memory, and takes longer than LoRA")
    note = head_note(files, model)
    if note:
        observer.said(note)
    return apply_method(spec, model, files)


def load_model(
    task: Task, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading
) -> "PreTrainedModel":
    """The base model in the class of its task. Raises as `Task.load` does."""
    seed_everything(task.spec.training.seed)  # new heads and adapters start at random
    model = task.load(files, tokenizer, how)
    set_attention(model, task.spec.training.attn_implementation, files.uri)
    return model


def apply_method(spec: Spec, model: "PreTrainedModel", files: ModelFiles) -> Adapted:
    """The model with the job's method applied. Raises `ModelUnsuitable` where it can't be."""
    if spec.training.activation_checkpointing:
        model.activation_checkpointing_enable()
    method = settle_method(spec)
    return METHODS[method.type](model, files, method, cache_folder("features"))


def loading_of(spec: Spec) -> ModelLoading:
    """Loading options: a frozen base stays in its stored dtype; trained or merged weights are FP32."""
    own_dtype = spec.method.type not in (MethodType.FULL, MethodType.MERGE)
    return ModelLoading(own_dtype=own_dtype, quantization=Quantization.of(spec.method))


def _how(spec: Spec, accelerator: Accelerator) -> ModelLoading:
    compute_dtype = compute_dtype_of(accelerator.mixed_precision)
    return replace(loading_of(spec), device=accelerator.device, compute_dtype=compute_dtype)


def evaluation_split(task: Task) -> str:
    """Split of the final evaluation: test, else validation, else the training rows."""
    return next(split for split in ("test", "validation", "train") if split in task.data.splits)


def with_evaluation_rows(ready: PreparedModel, base: BaseModel, observer: RunObserver) -> PreparedModel:
    """Add further evaluation rows: the retention set, and few-shot prompts.

    Raises `ModelUnsuitable` where the base model has no head for the retention task.
    """
    task, tokenizer, adapted, max_length = ready.task, ready.tokenizer, ready.adapted, ready.resolved.max_length
    retention = retention_task_of(task, ready.files, tokenizer, adapted, max_length)
    split = evaluation_split(task)
    few_shot = few_shot_of(task, split, tokenizer, adapted, max_length=max_length, limit=base.limit)
    if few_shot is not None and few_shot.note:
        observer.said(few_shot.note)
    return replace(ready, retention=retention, few_shot=few_shot)


def with_reference(ready: PreparedModel, timings: Timings, observer: RunObserver, stop: StopToken) -> PreparedModel:
    """Give a task that needs it the base model as reference, in the training precision."""
    task = ready.task
    if not (isinstance(task, NeedsReference) and task.needs_reference):
        return ready
    accelerator, quantization = ready.accelerator, Quantization.of(task.spec.method)
    weights = f"{ready.files.digest()} {accelerator.device.type} {accelerator.mixed_precision} {quantization}"
    tokens, rows, retention = dict(ready.tokens), dict(ready.rows), ready.retention
    is_shared = retention is not None and retention.task.spec.task is task.spec.task
    if retention is not None and is_shared:
        tokens[RETENTION_SPLIT], rows[RETENTION_SPLIT] = retention.tokens, retention.rows
    inputs = ReferenceInputs(tokens, rows, weights, cache_folder("references"))
    total = sum(len(part.lengths) for part in rows.values())
    with (
        timings.timed("reference"),
        ready.adapted.as_base_model(),
        ready.accelerator.autocast(),
        observer.working("reference", total) as advance,
    ):
        task = task.with_reference(ready.adapted.model, inputs, Monitor(advance, stop, PassLimit(observer.warned)))
    if retention is not None and is_shared:
        retention = replace(retention, task=replace(task, spec=retention.task.spec, data=retention.task.data))
    return replace(ready, task=task, retention=retention)


def _rows(adapted: Adapted, tokens: dict[str, Tokens], timings: Timings, observer: RunObserver) -> dict[str, RowSource]:
    rows = {}
    with observer.working("preparing rows", sum(len(part) for part in tokens.values())) as advance:
        for split, part in tokens.items():
            with timings.timed(f"rows.{split}"):
                rows[split] = whole_rows(adapted.rows, part, advance)
    return rows


def _count(adapted: Adapted) -> Parameters:
    trainable = sum(parameter.numel() for parameter in adapted.model.parameters() if parameter.requires_grad)
    return Parameters(total=adapted.total_parameters, trainable=trainable)
