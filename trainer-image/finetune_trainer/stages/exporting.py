"""Export of a run: model, settings, card, report and predictions, staged in a folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel

from finetune_api import tasks
from finetune_api.details import Details
from finetune_api.inference import INFERENCE_NAME, FileSettings, InferenceSettings, Quantization
from finetune_api.output import WeightsDtype
from finetune_api.report import Report
from finetune_trainer.data.tokenising.job_prompts import form_of, has_prompts
from finetune_trainer.drift.reference import carry_reference, save_reference
from finetune_trainer.models.generation_config import save_eos_ids
from finetune_trainer.models.hidden_layer import has_hidden_layer
from finetune_trainer.models.sources import Source
from finetune_trainer.models.tuned import read_settings
from finetune_trainer.models.weights_dtype import convert_weights, main_dtype, round_weights, stored_dtypes
from finetune_trainer.observer import Monitor, RunObserver
from finetune_trainer.output.finished import PREDICTIONS
from finetune_trainer.prediction.batch import write_predictions
from finetune_trainer.prediction.example_input import example_input
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.preparing import PreparedModel
from finetune_trainer.stages.publishing import report_files
from finetune_trainer.storage import Site
from finetune_trainer.tasks.merged import save_merged_settings
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.generation.causal import stop_ids

_CAUSAL = frozenset({tasks.Task.CAUSAL_LM, tasks.Task.PREFERENCE, tasks.Task.POLICY_OPTIMIZATION})

_DTYPES = {WeightsDtype.FP32: torch.float32, WeightsDtype.BF16: torch.bfloat16, WeightsDtype.FP16: torch.float16}


def round_to_export(ready: PreparedModel) -> str:
    """Round weights to their exported values, so that the evaluated model is the exported one.

    An adapter that is merged is rounded only once it is; frozen weights have such values already.
    Returns the name of their format: FP32, BF16 or FP16.
    """
    dtype = _export_dtype(ready)
    if dtype is not torch.float32 and _merge(ready) is None:
        every = not any(weight.requires_grad for weight in ready.adapted.model.parameters())
        weights = [w for w in ready.adapted.model.parameters() if w.is_floating_point() and (every or w.requires_grad)]
        round_weights(weights, dtype)
    return next(name.value for name, value in _DTYPES.items() if value is dtype)


def _merge(ready: PreparedModel) -> Callable[[Path, torch.dtype], None] | None:
    """Writer of base and adapter as one model in a dtype, where the job requests that."""
    return ready.adapted.merge if ready.task.spec.output.merge_adapter else None


def _export_dtype(ready: PreparedModel) -> torch.dtype:
    chosen = _DTYPES.get(ready.task.spec.output.dtype)
    if chosen is not None:
        return chosen
    is_adapter = isinstance(ready.adapted.model, PeftModel) and _merge(ready) is None
    return torch.float32 if is_adapter else main_dtype(ready.files)


@dataclass(frozen=True)
class Exported:
    """Results of the export."""

    example_input: str
    """An input that the model can be tried with."""
    drift_reference: bool
    """Whether statistics of the training inputs are beside the model."""


def export_model(
    ready: PreparedModel, staged: Path, held_out: Details | None, merged: Sequence[Source] = ()
) -> Exported:
    """Write model, tokenizer, settings and input statistics to `model/` of the staging folder.

    Settings and statistics of inputs are those of the results that were `merged`, where some were.
    """
    task = ready.task
    folder = staged / "model"
    folder.mkdir(parents=True)
    ends = _ends(ready)  # before merging, which takes the model apart
    merge = _merge(ready)
    if merge is None:
        ready.adapted.save(folder)
    else:
        merge(folder, _export_dtype(ready))
    _convert(ready, folder)
    if ends:
        save_eos_ids(folder, ready.adapted.model, ends)
    ready.tokenizer.save_pretrained(folder)
    has_reference = True
    if merged:
        save_merged_settings(task.spec, merged[0], folder)
        sources = [source.files.folder for source in merged]
        has_reference = carry_reference(folder, sources, task.data.labels.names, held_out)
    else:
        save_settings(task, folder, ready.resolved.max_length)
        save_reference(folder, task.data.splits["train"], ready.tokenizer, held_out, task.spec.data.split.seed)
    return Exported(example_input(read_settings(folder, str(folder)), ready.tokenizer.mask_token), has_reference)


def write_report(report: Report, staged: Path) -> None:
    """Write the report and the model card beside the exported model."""
    from finetune_trainer.reporting.card import render_card

    for path, text in report_files(report).items():
        (staged / path).parent.mkdir(exist_ok=True)
        (staged / path).write_text(text, encoding="utf-8")
    card = render_card(report, hidden_layer=has_hidden_layer(staged / "model"))
    (staged / "README.md").write_text(card, encoding="utf-8")


def _ends(ready: PreparedModel) -> list[int]:
    """Stop token ids of a causal model, as in prediction; empty for other models."""
    task = ready.task
    spec, report = task.spec, task.data.report
    if spec.task not in _CAUSAL:
        return []
    form = form_of(spec, report, ready.tokenizer) if has_prompts(spec, report) else None
    return stop_ids(ready.adapted.model, ready.tokenizer, form)


def _convert(ready: PreparedModel, folder: Path) -> None:
    """Convert weights that are not yet in the export dtype."""
    dtype = _export_dtype(ready)
    if ready.task.spec.output.dtype is not WeightsDtype.AUTO:
        convert_weights(folder, dtype)
    elif dtype is not torch.float32:
        convert_weights(folder, dtype, stored_dtypes(ready.files))


def predict(
    ready: PreparedModel, staged: Path, site: Site, *, rows: int, observer: RunObserver, stop: StopToken
) -> None:
    """Write the exported model's predictions for `spec.predict`; nothing trains after this.

    Raises the failures of reading them.
    """
    task = ready.task
    if task.spec.predict is None:
        return
    ready.adapted.model.to("cpu")  # the exported one takes its place
    with observer.working("predicting", rows) as advance:
        monitor, target = Monitor(advance, stop), staged / PREDICTIONS
        write_predictions(staged / "model", ready.files, task.spec, site, target=target, monitor=monitor)


def save_settings(task: Task, folder: Path, max_length: int) -> None:
    """Write `finetune.json` of the model into `folder`: settings of the job and of the task."""
    spec, labels = task.spec, task.data.labels
    of_the_job = {
        "task": spec.task,
        "method": spec.method.type,
        "problem_type": labels.problem_type,
        "labels": list(labels.names),
        "max_length": max_length,
        "columns": spec.data.columns,
        "clean": spec.data.clean,
        "split_special_tokens": spec.data.split_special_tokens,
        "files": FileSettings.of(spec.data.train),
        "quantization": None if spec.output.merge_adapter else Quantization.of(spec.method),
    }
    settings = InferenceSettings.model_validate(of_the_job | task.own_settings)
    (folder / INFERENCE_NAME).write_text(
        settings.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n", encoding="utf-8"
    )
