"""The table of effects, tests/data/field_effects.yaml, and jobs with settings of its rows laid over them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from effect_jobs import Json, base_job, laid_over, manifest
from operator_decisions import decisions, objects
from pydantic import ValidationError

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.fields import fields, format_path
from finetune_api.job import FineTuneJob
from finetune_api.tasks import Task

ROOT = Path(__file__).parents[3]
TABLE = yaml.safe_load((ROOT / "tests" / "data" / "field_effects.yaml").read_text("utf-8"))
OPERATOR: dict[str, Callable[[Json], Any]] = {"objects": objects, "decisions": decisions}
PURE = ("merged", "qlora")
"""Stages of single functions, whose rows hold the settings of one block."""
QUERY = {Task.SEQUENCE_CLASSIFICATION: "query", Task.TOKEN_CLASSIFICATION: "query", Task.MASKED_LM: "query",
         Task.SEQ2SEQ: "q"}  # fmt: skip
"""Names of a module in the attention of the tiny models; the others are Llamas."""


def leaves() -> list[str]:
    """Paths of the fields that hold no others."""
    paths = [path for path in fields() if path.startswith("spec.")]
    return [path for path in paths if not any(other.startswith((f"{path}.", f"{path}[")) for other in paths)]


def tasks_of(row: Json) -> list[Task]:
    """Tasks in which the field of a row counts."""
    return [Task(name) for name in row.get("tasks", TABLE["tasks"])]


def job_of(task: Task, model: Path, folder: Path, *overlays: Json) -> Json:
    """The spec of a small job of the task with settings over it, one after the other."""
    spec = base_job(task, model, folder)
    for part in overlays:
        text = json.dumps(part).replace("file://{folder}", folder.as_uri())
        spec = laid_over(spec, json.loads(text.replace("{query}", QUERY.get(task, "q_proj"))))
    return spec


def problems_of(spec: Json) -> dict[str, str]:
    """What is refused of a spec: message and hint by field."""
    try:
        job = FineTuneJob.model_validate_json(json.dumps(manifest(spec)), strict=True)
    except ValidationError as error:
        return dict(_broken(error))
    problems = [*unsupported(job.spec), *semantic_problems(job.spec)]
    return {problem.where: f"{problem.message}; {problem.hint}" for problem in problems}


def _broken(error: ValidationError) -> Iterator[tuple[str, str]]:
    for detail in error.errors():
        for field, message in detail.get("ctx", {}).get("broken", [("", detail["msg"])]):
            yield format_path((*detail["loc"], *filter(None, [field]))), message
