"""From `spec.data` to splits that can be trained on, with a report of what the data is like."""

from collections.abc import Callable

import numpy as np

from finetune_api.data import Data
from finetune_api.tasks import Task
from finetune_trainer.data.describe import Findings, describe
from finetune_trainer.data.labelled import (
    Grouped,
    Labelled,
    conflicts,
    digest,
    examples,
    first_of_each,
    grouped,
    leaks,
    near_duplicates,
    with_labels,
)
from finetune_trainer.data.labels import LabelSpace, check_known
from finetune_trainer.data.prepared import Prepared, RowsRead
from finetune_trainer.data.reading.loading import Loaded, Reading, load, paths_of
from finetune_trainer.data.rules import check_bad_rows, check_not_empty, check_split
from finetune_trainer.data.shapes import SHAPES, TargetReader
from finetune_trainer.data.shares import draw_shares, mixed_sources, shares_of
from finetune_trainer.data.splits import SPLITS, TEST, TRAIN, VALIDATION, draw_keys, split_rows
from finetune_trainer.data.strata import strata
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
    how = Reading(site, shape, tell, data.columns.difficulty, paths_of(data.columns, group_column))
    loaded = {name: load(getattr(data, name), name, how) for name in SPLITS if getattr(data, name)}
    reader = shape.reader([record.label for record in loaded[TRAIN].records])
    kept = {name: usable(part, reader, data.max_bad_row_ratio) for name, part in loaded.items()}
    train = kept[TRAIN].pick(first_of_each(kept[TRAIN])) if data.clean.drop_duplicates else kept[TRAIN]
    space = shape.space(train.labels)
    held_out = [name for name in kept if name != TRAIN]
    for name in held_out:
        check_known(space, kept[name].classes, kept[name].places, name)
    tell("looking for near-duplicates")
    parts = grouped({**kept, TRAIN: train})
    splits = _split(data, space, parts)
    findings = Findings(
        roles=shape.roles,
        loaded=list(loaded.values()),
        space=space,
        splits={name: part.rows for name, part in splits.items()},
        dropped=len(kept[TRAIN]) - len(train),
        near_duplicates=near_duplicates(parts.values()),
        leaks=[pair for name in held_out for pair in leaks(splits[name], splits[TRAIN])],
        conflicts=conflicts(kept.values()),
        mixed=mixed_sources(data, loaded[TRAIN], splits),
    )
    return Prepared(
        splits={name: examples(rows, space) for name, rows in findings.splits.items()},
        labels=space,
        report=describe(findings),
        digest=digest(findings.splits),
        read={name: RowsRead(part.rows_read, tuple(part.bad)) for name, part in loaded.items()},
    )


def usable(loaded: Loaded, reader: TargetReader, allowed: float) -> Labelled:
    """Read the labels, note rows without one as bad, and make sure that enough is left."""
    rows, without_label = with_labels(loaded.records, reader)
    loaded.note_bad(without_label)
    check_bad_rows(loaded.place, loaded.bad, loaded.rows_read, allowed)
    check_not_empty(loaded.place, len(rows), loaded.rows_read, [source.uri for source in loaded.sources])
    return rows


def _split(data: Data, space: LabelSpace, parts: dict[str, Grouped]) -> dict[str, Grouped]:
    """Split what no files were given for from the training rows, then cut those to `maxRows`."""
    train = parts[TRAIN]
    wanted = {VALIDATION: data.split.validation, TEST: data.split.test}
    shares = {name: share for name, share in wanted.items() if share > 0 and name not in parts}
    keys = draw_keys(train.rows.identities, data.split.seed)
    alike = strata(space.problem_type, train.rows.labels, stratify=data.split.stratify)
    sources = np.asarray([record.source for record in train.rows.records], np.int64)
    if data.split.stratify:
        alike = np.unique(alike * len(data.train) + sources, return_inverse=True)[1]
    assigned = split_rows(keys, train.groups, alike, train.rows.classes, shares)
    found = dict(parts)
    for number, (name, share) in enumerate(shares.items(), start=1):
        rows = np.flatnonzero(assigned == number)
        check_split(name, len(rows), len(train.rows), len(np.unique(train.groups)), share)
        found[name] = train.pick(rows)
    rest = np.flatnonzero(assigned == 0)
    if data.max_rows:
        rest = rest[
            draw_shares([keys[row] for row in rest], alike[rest], sources[rest], shares_of(data.train), data.max_rows)
        ]
    found[TRAIN] = train.pick(rest)
    return {name: found[name] for name in SPLITS if name in found}
