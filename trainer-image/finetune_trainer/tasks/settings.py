"""Writes what prediction needs beside the weights."""

from pathlib import Path

from finetune_api.inference import INFERENCE_NAME, FileSettings, InferenceSettings
from finetune_trainer.tasks.task import Task


def save_settings(task: Task, folder: Path, max_length: int) -> None:
    """Write `finetune.json` of the model into `folder`: what the job says, and what the task has of its own."""
    spec, labels = task.spec, task.data.labels
    of_the_job = {
        "task": spec.task,
        "method": spec.method.type,
        "problem_type": labels.problem_type,
        "labels": list(labels.names),
        "max_length": max_length,
        "columns": spec.data.columns,
        "clean": spec.data.clean,
        "files": FileSettings.of(spec.data.train),
    }
    settings = InferenceSettings.model_validate(of_the_job | task.own_settings)
    (folder / INFERENCE_NAME).write_text(settings.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
