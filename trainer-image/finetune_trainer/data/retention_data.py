"""Retention set: rows of `spec.evaluation.retention`, evaluated but never trained on."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from finetune_api.checks.evaluation import group_column, retention_columns
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_trainer.data.held_out import only_measured, prepare_test_rows, read_split
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.prepare import prepare
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.data.reading.loading import Reading, paths_of
from finetune_trainer.data.shapes import SHAPES
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.storage import Site


def prepare_job(spec: Spec, site: Site, progress: Callable[[str], None]) -> Prepared:
    """Read, check, clean and split all rows of a job, with its retention set. Raises as `prepare` does."""
    prepared = _own_rows(spec, site, progress)
    if not spec.evaluation.retention.data:
        return prepared
    old = prepare_retention(spec, prepared.labels, site, progress)
    both = sha256(f"{prepared.digest} {old.digest}".encode()).hexdigest()  # figures on both are kept with checkpoints
    return replace(prepared, retention=old, digest=both)


def _own_rows(spec: Spec, site: Site, progress: Callable[[str], None]) -> Prepared:
    """The rows of the job's own task; those of a merge are only evaluated."""
    if not spec.data.train:
        return prepare_test_rows(spec, site, progress)
    groups = group_column(spec)
    prepared = prepare(spec.data, site=site, task=spec.task, group_column=groups, progress=progress)
    return only_measured(prepared) if spec.method.type is MethodType.MERGE else prepared


def prepare_retention(spec: Spec, known: LabelSpace, site: Site, progress: Callable[[str], None]) -> Prepared:
    """The retention rows as `RETENTION_SPLIT`; `known` are the job's labels, where the task is the same."""
    retention = spec.evaluation.retention
    task = retention.task or spec.task
    space = known if task is spec.task else NO_LABELS
    found = {"problem_type": space.problem_type, "names": list(space.names)}
    labels = spec.data.labels.model_copy(update=found)
    columns = retention_columns(spec).model_copy(update={"group": ""})
    data = spec.data.model_copy(update={"columns": columns, "labels": labels})
    how = Reading(site, SHAPES[task](data, ""), progress, paths=paths_of(columns))
    return read_split(retention.data, RETENTION_SPLIT, how, data.max_bad_row_ratio, space)
