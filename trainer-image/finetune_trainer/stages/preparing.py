"""From a job to a model that can be trained, and rows in the shape that it takes."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from accelerate import Accelerator

from finetune_api.report import Parameters
from finetune_api.resolved import Resolved, settle_method
from finetune_trainer.cache import cache_folder
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.job_prompts import check_chats
from finetune_trainer.data.tokenising.learned import sample_line
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.methods.adapted import whole_rows
from finetune_trainer.models.classifier import head_note
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import describe_hardware
from finetune_trainer.plan import resolve_values
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.tokens import highest_id, report_on, tokenise_splits
from finetune_trainer.storage import Site
from finetune_trainer.tasks.few_shot import FewShot, few_shot_of
from finetune_trainer.tasks.retention import RetentionTask, retention_task_of
from finetune_trainer.tasks.task import NeedsReference, NeedsRewardModel, OnPolicyTask, Task
from finetune_trainer.training.precision import build_accelerator, choose_precision, use_allotted_cpus
from finetune_trainer.training.state.rng import seed_everything

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PreparedModel:
    """A model that can be trained, and the rows in the shape that it takes."""

    task: Task
    """The task on the rows that its chat template can write."""
    files: ModelFiles
    tokenizer: "PreTrainedTokenizerBase"
    adapted: Adapted
    tokens: dict[str, Tokens]
    rows: dict[str, RowSource]
    resolved: Resolved
    accelerator: Accelerator
    skill: RetentionTask | None = None
    few_shot: FewShot | None = None


def prepare_model(task: Task, base: BaseModel, site: Site, notes: Notes, observer: RunObserver) -> PreparedModel:
    """Tokenise the rows, fetch and load the model, apply the method.

    Raises whatever says that model, method and data don't go together; no training has begun by then.
    """
    spec, tokenizer = task.spec, base.tokenizer
    precision = choose_precision(spec.training.precision)
    notes.hardware = describe_hardware(use_allotted_cpus(), precision)
    task = replace(task, data=check_chats(task.data, spec, tokenizer))
    resolved = resolve_values(spec, base.limit, task.data.report.training_rows)
    tokens = tokenise_splits(task, tokenizer, resolved.max_length, observer)
    base.check_ids(highest_id(tokens))
    notes.data = report_on(task, tokens, tokenizer, resolved.max_length)
    observer.data_ready(notes.data)
    if notes.data.sample:
        observer.said(sample_line(notes.data.sample))
    files = fetch_model(spec.model, site)
    accelerator = build_accelerator(precision)
    if isinstance(task, NeedsRewardModel):
        task.equip(site)
    seed_everything(spec.training.seed)  # new heads and adapters start at random
    model = task.load(files, tokenizer).to(accelerator.device)
    note = head_note(files, model)
    if note:
        observer.said(note)
    if spec.training.activation_checkpointing:
        model.activation_checkpointing_enable()
    method = settle_method(spec)
    adapted = METHODS[method.type](model, files, method, cache_folder("features"))
    rows = _rows(adapted, tokens, notes, observer)
    if isinstance(task, OnPolicyTask) and "train" in rows:
        rows["train"] = task.training_rows(rows["train"])
    notes.resolved, notes.parameters = resolved, _count(adapted)
    observer.model_ready(notes.parameters, resolved, notes.hardware)
    skill = retention_task_of(task, files, tokenizer, adapted, resolved.max_length)
    split = evaluation_split(task)
    few_shot = few_shot_of(task, split, tokenizer, adapted, max_length=resolved.max_length, limit=base.limit)
    if few_shot is not None and few_shot.note:
        observer.said(few_shot.note)
    ready = PreparedModel(task, files, tokenizer, adapted, tokens, rows, resolved, accelerator, skill, few_shot)
    _look_at_base(task, ready, notes, observer)
    return ready


def evaluation_split(task: Task) -> str:
    """The split that the final figures come from: test, else validation, else the training rows."""
    return next(split for split in ("test", "validation", "train") if split in task.data.splits)


def _look_at_base(task: Task, ready: PreparedModel, notes: Notes, observer: RunObserver) -> None:
    """Let a task that compares with it see the model as it came, in the precision that it will be trained in."""
    if not (isinstance(task, NeedsReference) and task.needs_reference):
        return
    weights = f"{ready.files.digest()} {ready.accelerator.device.type} {ready.accelerator.mixed_precision}"
    rows = dict(ready.rows)
    if ready.skill is not None and ready.skill.task.spec.task is task.spec.task:
        rows[RETENTION_SPLIT] = ready.skill.rows
    total = sum(len(part.lengths) for part in rows.values())
    with (
        notes.timed("reference"),
        ready.adapted.untouched(),
        ready.accelerator.autocast(),
        observer.working("reference", total) as advance,
    ):
        task.remember_base(ready.adapted.model, rows, weights, cache_folder("references"), advance)


def _rows(adapted: Adapted, tokens: dict[str, Tokens], notes: Notes, observer: RunObserver) -> dict[str, RowSource]:
    rows = {}
    with observer.working("preparing rows", sum(len(part) for part in tokens.values())) as advance:
        for split, part in tokens.items():
            with notes.timed(f"rows.{split}"):
                rows[split] = whole_rows(adapted.rows, part, advance)
    return rows


def _count(adapted: Adapted) -> Parameters:
    trainable = sum(parameter.numel() for parameter in adapted.model.parameters() if parameter.requires_grad)
    return Parameters(total=adapted.total_parameters, trainable=trainable)
