"""From `spec.data` to splits that can be trained on, with a report of what the data is like."""

from collections.abc import Callable

import numpy as np

from finetune_api.data import Data
from finetune_trainer.data.columns import roles
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
from finetune_trainer.data.labels import LabelReader, LabelSpace, check_known, label_reader, label_space
from finetune_trainer.data.loading import Loaded, Reading, load
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.data.rules import check_bad_rows, check_not_empty, check_split
from finetune_trainer.data.splits import SPLITS, TEST, TRAIN, VALIDATION, draw_keys, draw_rows, split_rows
from finetune_trainer.data.strata import strata
from finetune_trainer.storage import Site


def prepare(
    data: Data,
    *,
    site: Site,
    group_column: str = "",
    progress: Callable[[str], None] | None = None,
) -> Prepared:
    """Read, check, clean and split the rows of a job.

    Args:
        data: the job's `spec.data`.
        site: what relative files, volumes and Secrets are here.
        group_column: column whose values are kept as `Examples.groups`.
        progress: told in words what is going on.

    Raises:
        ColumnMissing, DataUnreadable, DataEmpty, TooManyBadRows, LabelsUnsuitable, DataNotFound, PermissionDenied,
        StorageUnavailable, SpecInvalid: each names the field or the file with its line, and the remedy.
    """
    tell = progress or (lambda _: None)
    wanted = roles(data.columns, group_column)
    how = Reading(site, wanted, data.clean, tell)
    loaded = {name: load(getattr(data, name), name, how) for name in SPLITS if getattr(data, name)}
    reader = label_reader(data.labels, [record.label for record in loaded[TRAIN].records])
    usable = {name: _usable(part, reader, data.max_bad_row_ratio) for name, part in loaded.items()}
    train = usable[TRAIN].pick(first_of_each(usable[TRAIN])) if data.clean.drop_duplicates else usable[TRAIN]
    space = label_space(reader, train.labels)
    held_out = [name for name in usable if name != TRAIN]
    for name in held_out:
        check_known(space, usable[name].classes, usable[name].places, name)
    tell("looking for near-duplicates")
    parts = grouped({**usable, TRAIN: train})
    splits = _split(data, space, parts)
    findings = Findings(
        roles=wanted,
        loaded=list(loaded.values()),
        space=space,
        splits={name: part.rows for name, part in splits.items()},
        dropped=len(usable[TRAIN]) - len(train),
        near_duplicates=near_duplicates(parts.values()),
        leaks=[pair for name in held_out for pair in leaks(splits[name], splits[TRAIN])],
        conflicts=conflicts(usable.values()),
    )
    return Prepared(
        splits={name: examples(rows, space) for name, rows in findings.splits.items()},
        labels=space,
        report=describe(findings),
        digest=digest(findings.splits),
    )


def _usable(loaded: Loaded, reader: LabelReader, allowed: float) -> Labelled:
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
    assigned = split_rows(keys, train.groups, alike, train.rows.classes, shares)
    found = dict(parts)
    for number, (name, share) in enumerate(shares.items(), start=1):
        rows = np.flatnonzero(assigned == number)
        check_split(name, len(rows), len(train.rows), len(np.unique(train.groups)), share)
        found[name] = train.pick(rows)
    rest = np.flatnonzero(assigned == 0)
    if data.max_rows:
        rest = rest[draw_rows([keys[row] for row in rest], alike[rest], data.max_rows)]
    found[TRAIN] = train.pick(rest)
    return {name: found[name] for name in SPLITS if name in found}
