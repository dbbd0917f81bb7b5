"""Rows of a skill that must not be forgotten: `spec.evaluation.retention`. They are measured on, never trained on."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from pydantic.alias_generators import to_camel

from finetune_api.data import Labels
from finetune_api.extra_checks import group_column, retention_columns
from finetune_api.job import Spec
from finetune_api.report import BadRow, DataReport, SplitReport
from finetune_trainer.data.labelled import digest, examples
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.loading import Loaded, Reading, load
from finetune_trainer.data.prepare import prepare, usable
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.data.shapes import SHAPES
from finetune_trainer.data.splits import OLD_SKILL
from finetune_trainer.storage import Site

_EXAMPLES = 20


def prepare_job(spec: Spec, site: Site, progress: Callable[[str], None]) -> Prepared:
    """Read, check, clean and split all rows of a job, those of its old skill too. Raises as `prepare` does."""
    groups = group_column(spec)
    prepared = prepare(spec.data, site=site, task=spec.task, group_column=groups, progress=progress)
    if not spec.evaluation.retention.data:
        return prepared
    old = prepare_old_skill(spec, prepared.labels, site, progress)
    both = sha256(f"{prepared.digest} {old.digest}".encode()).hexdigest()  # figures on both are kept with checkpoints
    return replace(prepared, old_skill=old, digest=both)


def prepare_old_skill(spec: Spec, known: LabelSpace, site: Site, progress: Callable[[str], None]) -> Prepared:
    """The rows of the old skill as one split, `OLD_SKILL`; `known` are the job's labels, where the task is the same."""
    retention = spec.evaluation.retention
    task = retention.task or spec.task
    space = known if task is spec.task else NO_LABELS
    labels = Labels(problem_type=space.problem_type, names=list(space.names), separator=spec.data.labels.separator)
    columns = retention_columns(spec).model_copy(update={"group": ""})
    data = spec.data.model_copy(update={"columns": columns, "labels": labels})
    shape = SHAPES[task](data, "")
    loaded = load(retention.data, OLD_SKILL, Reading(site, shape, progress))
    reader = shape.reader([record.label for record in loaded.records])
    rows = usable(loaded, reader, data.max_bad_row_ratio)
    splits = {OLD_SKILL: rows}
    report = _report(loaded, len(rows), shape.roles, space)
    return Prepared({OLD_SKILL: examples(rows, space)}, space, report, digest(splits))


def _report(loaded: Loaded, rows: int, roles: dict[str, str], space: LabelSpace) -> DataReport:
    return DataReport(
        files=list(loaded.files),
        rows_read=loaded.rows_read,
        bad_rows=len(loaded.bad),
        bad_row_examples=[BadRow(place=bad.place, reason=bad.reason) for bad in loaded.bad[:_EXAMPLES]],
        splits={OLD_SKILL: SplitReport(rows=rows)},
        columns={to_camel(role): column for role, column in roles.items()},
        label_names=list(space.names),
    )
