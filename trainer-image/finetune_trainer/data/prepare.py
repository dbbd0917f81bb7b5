"""Preparation of `spec.data`: reads, checks, cleans and splits rows, with a data report."""

from collections.abc import Callable

from finetune_api.data import Data, NearDuplicateRule
from finetune_api.tasks import Task
from finetune_trainer.data.describe import Findings, describe
from finetune_trainer.data.labelled import Labelled, conflicts, digest, examples, first_of_each, with_labels
from finetune_trainer.data.labels import check_known
from finetune_trainer.data.mixing import mixed_sources
from finetune_trainer.data.overlap import find_overlap
from finetune_trainer.data.prepared import Prepared, RowsRead
from finetune_trainer.data.reading.loading import Loaded, Reading, load, paths_of
from finetune_trainer.data.row_groups import grouped, near_duplicates
from finetune_trainer.data.rules import check_bad_rows, check_not_empty
from finetune_trainer.data.shapes import SHAPES, TargetReader
from finetune_trainer.data.splits import SPLITS, TRAIN
from finetune_trainer.data.splitting import split_training_rows
from finetune_trainer.data.unread_splits import unread_splits
from finetune_trainer.storage import Site


def prepare(
    data: Data,
    *,
    site: Site,
    task: Task = Task.SEQUENCE_CLASSIFICATION,
    group_column: str = "",
    progress: Callable[[str], None] | None = None,
) -> Prepared:
    """Read, check, clean and split the rows of a job.

    Args:
        data: the job's `spec.data`.
        site: what relative files, volumes and Secrets are here.
        task: what the model learns, which decides what a row is.
        group_column: column whose values are kept as `Examples.groups`.
        progress: told in words what is going on.

    Raises:
        ColumnMissing, DataUnreadable, DataEmpty, TooManyBadRows, LabelsUnsuitable, DataNotFound, PermissionDenied,
        StorageUnavailable, SpecInvalid: each names the field or the file with its line, and the remedy.
    """
    tell = progress or (lambda _: None)
    shape = SHAPES[task](data, group_column)
    paths = paths_of(data.columns, group_column, data.split.group_column)
    how = Reading(site, shape, tell, data.columns.difficulty, paths, data.split.group_column)
    loaded = {name: load(getattr(data, name), name, how) for name in SPLITS if getattr(data, name)}
    reader = shape.reader([record.label for record in loaded[TRAIN].records])
    kept = {name: usable(part, reader, data.max_bad_row_ratio) for name, part in loaded.items()}
    train = kept[TRAIN].pick(first_of_each(kept[TRAIN])) if data.clean.drop_duplicates else kept[TRAIN]
    space = shape.space(train.labels)
    for name in kept.keys() - {TRAIN}:
        check_known(space, kept[name].classes, kept[name].places, name)
    ignores = data.split.near_duplicates is NearDuplicateRule.IGNORE
    tell("looking for exact copies" if ignores else "looking for near-duplicates")
    parts = grouped({**kept, TRAIN: train}, data.split.near_duplicates)
    splitting = split_training_rows(data, space, parts)
    splits = splitting.parts
    findings = Findings(
        roles=shape.roles,
        loaded=list(loaded.values()),
        space=space,
        splits={name: part.rows for name, part in splits.items()},
        dropped=len(kept[TRAIN]) - len(train),
        near_duplicates=None if ignores else near_duplicates(parts.values()),
        overlap=find_overlap(data, splits, loaded),
        conflicts=conflicts(kept.values()),
        labels=data.labels,
        mixed=mixed_sources(data, loaded[TRAIN], splits),
        unread=list(unread_splits(data, loaded)),
        splitting=splitting.warnings,
        has_groups=bool(data.split.group_column),
    )
    return Prepared(
        splits={name: examples(rows, space) for name, rows in findings.splits.items()},
        labels=space,
        report=describe(findings),
        digest=digest(findings.splits),
        read={name: RowsRead(part.rows_read, tuple(part.bad)) for name, part in loaded.items()},
    )


def usable(loaded: Loaded, reader: TargetReader, allowed: float) -> Labelled:
    """Parse the labels, record rows without one as invalid, and require enough usable rows."""
    rows, without_label = with_labels(loaded.records, reader)
    loaded.note_bad(without_label)
    check_bad_rows(loaded.place, loaded.bad, loaded.rows_read, allowed)
    check_not_empty(loaded.place, len(rows), loaded.rows_read, [source.uri for source in loaded.sources])
    return rows
