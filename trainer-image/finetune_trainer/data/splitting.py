"""Split of the training rows by `spec.data.split`: whole groups, near-duplicates on one side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import Data
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.mixing import draw_shares, mixing_shares
from finetune_trainer.data.row_groups import Grouped, column_groups, connected
from finetune_trainer.data.rules import Indivisible, check_split
from finetune_trainer.data.splits import SPLITS, TEST, TRAIN, VALIDATION, draw_keys, split_rows
from finetune_trainer.data.stratification import strata

_FAR_OFF = 0.5
_NOTEWORTHY = 5


@dataclass(frozen=True)
class Splitting:
    """Splits in the order of `SPLITS`, and warnings."""

    parts: dict[str, Grouped]
    warnings: list[str]


def split_training_rows(data: Data, space: LabelSpace, parts: Mapping[str, Grouped]) -> Splitting:
    """Split off what no files were given for, then cut training to `maxRows`. Raises `DataEmpty`."""
    train = parts[TRAIN]
    wanted = {VALIDATION: data.split.validation, TEST: data.split.test}
    shares = {name: share for name, share in wanted.items() if share > 0 and name not in parts}
    keys = draw_keys(train.rows.identities, data.split.seed)
    alike = strata(space.problem_type, train.rows.labels, stratify=data.split.stratify)
    sources = np.asarray([record.source for record in train.rows.records], np.int64)
    if data.split.stratify:
        alike = np.unique(alike * len(data.train) + sources, return_inverse=True)[1]
    by_column = column_groups(train.rows) if data.split.group_column else np.arange(len(train.rows))

    def assign(together: NDArray[np.int64]) -> NDArray[np.int64]:
        return split_rows(keys, connected(together, by_column), alike, train.rows.classes, shares)

    assigned, warnings = assign(train.alike), list[str]()
    if _is_short(assigned, len(shares)):
        without = assign(train.equal)
        if not _is_short(without, len(shares)):
            assigned = without
            warnings.append(_apart(len(train.rows), len(np.unique(train.alike))))
    found = dict(parts)
    of = _indivisible(data, train, by_column)
    for number, (name, share) in enumerate(shares.items(), start=1):
        rows = np.flatnonzero(assigned == number)
        check_split(name, len(rows), of, share)
        found[name] = train.pick(rows)
    rest = np.flatnonzero(assigned == 0)
    warnings += _off_target(shares, assigned)
    if data.max_rows:
        rest = rest[
            draw_shares(
                [keys[row] for row in rest], alike[rest], sources[rest], mixing_shares(data.train), data.max_rows
            )
        ]
    found[TRAIN] = train.pick(rest)
    return Splitting({name: found[name] for name in SPLITS if name in found}, warnings)


def _is_short(assigned: NDArray[np.int64], splits: int) -> bool:
    return len(np.unique(assigned[assigned > 0])) < splits


def _indivisible(data: Data, train: Grouped, by_column: NDArray[np.int64]) -> Indivisible:
    column = data.split.group_column
    return Indivisible(len(train.rows), len(np.unique(train.alike)), column, len(np.unique(by_column)))


def _apart(rows: int, groups: int) -> str:
    return (
        f"{rows:,} rows in {groups:,} groups of near-duplicates are too few to split with each group on one side, so"
        " only rows of the same letters were kept together: metrics on the split may be too good. Give files of your"
        " own, or say with data.split.nearDuplicates: Ignore that the rows are meant to be alike."
    )


def _off_target(shares: Mapping[str, float], assigned: NDArray[np.int64]) -> Iterator[str]:
    """Warnings where whole groups make a split much larger or smaller than requested."""
    for number, (name, share) in enumerate(shares.items(), start=1):
        rows, wanted = int((assigned == number).sum()), share * len(assigned)
        if abs(rows - wanted) > max(_NOTEWORTHY, _FAR_OFF * wanted):
            yield (
                f"{rows:,} rows ({rows / len(assigned):.0%}) are split off for {name} instead of {share:.0%}: groups of"
                " rows that belong together stay whole."
            )
