"""What a run leaves: model, settings, card, report and predictions, staged in a folder."""

from collections.abc import Sequence
from pathlib import Path

from finetune_api import tasks
from finetune_trainer.data.tokenising.job_prompts import form_of, has_prompts
from finetune_trainer.drift.reference import carry_reference, save_reference
from finetune_trainer.models.generation_ends import save_ends
from finetune_trainer.models.hidden_layer import has_hidden_layer
from finetune_trainer.models.sources import Source
from finetune_trainer.models.tuned import read_settings
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.finished import PREDICTIONS
from finetune_trainer.prediction.batch import write_predictions
from finetune_trainer.prediction.example_input import example_input
from finetune_trainer.stages.preparing import Ready
from finetune_trainer.stages.publishing import report_files
from finetune_trainer.storage import Site
from finetune_trainer.tasks.merged import save_merged_settings
from finetune_trainer.tasks.settings import save_settings
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.continuing import stop_ids

_CAUSAL = frozenset({tasks.Task.CAUSAL_LM, tasks.Task.PREFERENCE, tasks.Task.POLICY_OPTIMIZATION})


def export(task: Task, ready: Ready, staged: Path, notes: Notes, merged: Sequence[Source] = ()) -> None:
    """Write model, tokenizer, settings, model card and report into the staging folder.

    Settings and statistics of inputs are those of the results that were `merged`, where some were.
    """
    from finetune_trainer.reporting.card import render_card

    model_folder = staged / "model"
    model_folder.mkdir(parents=True)
    with notes.timed("export"):
        merge = ready.adapted.merge if task.spec.output.merge_adapter else None
        ends = _ends(task, ready)  # before merging, which takes the model apart
        (merge or ready.adapted.save)(model_folder)
        if ends:
            save_ends(model_folder, ready.adapted.model, ends)
        ready.tokenizer.save_pretrained(model_folder)
        if merged:
            _describe_merged(task, merged, model_folder, notes)
        else:
            save_settings(task, model_folder, ready.resolved.max_length)
            save_reference(model_folder, task.data.splits["train"], ready.tokenizer, notes)
    notes.example_input = example_input(read_settings(model_folder, str(model_folder)), ready.tokenizer.mask_token)
    report = notes.report()
    for path, text in report_files(report).items():
        (staged / path).parent.mkdir(exist_ok=True)
        (staged / path).write_text(text, encoding="utf-8")
    card = render_card(report, hidden_layer=has_hidden_layer(model_folder))
    (staged / "README.md").write_text(card, encoding="utf-8")


def _ends(task: Task, ready: Ready) -> list[int]:
    """Ids at which a causal model stops to write, as in prediction; none of other models."""
    spec, report = task.spec, task.data.report
    if spec.task not in _CAUSAL:
        return []
    form = form_of(spec, report, ready.tokenizer) if has_prompts(spec, report) else None
    return stop_ids(ready.adapted.model, ready.tokenizer, form)


def _describe_merged(task: Task, merged: Sequence[Source], folder: Path, notes: Notes) -> None:
    """Write what goes beside merged weights."""
    save_merged_settings(task.spec, merged[0], folder)
    carried = carry_reference(folder, [source.files.folder for source in merged], task.data.labels.names, notes)
    if notes.merge is not None:
        notes.merge = notes.merge.model_copy(update={"drift_reference": carried})


def predict(task: Task, ready: Ready, staged: Path, site: Site, *, rows: int, observer: RunObserver) -> None:
    """Write what the exported model says of the rows that the job asks about; nothing trains after this.

    Raises the failures of reading them.
    """
    if task.spec.predict is None:
        return
    ready.adapted.model.to("cpu")  # the exported one takes its place
    with observer.working("predicting", rows) as advance:
        write_predictions(staged / "model", ready.files, task.spec, site, target=staged / PREDICTIONS, advance=advance)
