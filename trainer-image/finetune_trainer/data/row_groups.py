"""Groups of rows that must stay in one split: near-duplicates, and rows with the same group column value."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import NearDuplicateRule
from finetune_api.data_report import Place
from finetune_trainer.data.labelled import Labelled
from finetune_trainer.data.near_duplicates import NearDuplicates, root_of

_COMPARED = 50
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Grouped:
    """Rows with their group numbers [n], unique across all parts that were grouped together."""

    rows: Labelled
    alike: Groups
    """Rows that are nearly the same; with `Ignore`, exactly the same."""
    equal: Groups
    """Rows of the same letters, digits and marks; with `Ignore`, each its own."""
    numbers: Groups
    """What `are_alike` knows each row by."""
    are_alike: Callable[[int, int], bool]
    """Whether two rows of one group are themselves nearly the same."""

    def pick(self, rows: NDArray[np.int64]) -> "Grouped":
        """The rows at these indices."""
        return Grouped(self.rows.pick(rows), self.alike[rows], self.equal[rows], self.numbers[rows], self.are_alike)


def grouped(parts: dict[str, Labelled], rule: NearDuplicateRule) -> dict[str, Grouped]:
    """Number the groups of rows over all parts together."""
    judge: Callable[[int, int], bool] = _always
    if rule is NearDuplicateRule.IGNORE:
        alike = _exactly_the_same(record.content for rows in parts.values() for record in rows.records)
        equal = np.arange(len(alike))
    else:
        found = NearDuplicates([record.compared for rows in parts.values() for record in rows.records])
        alike, equal, judge = found.groups, found.equal, found.alike
    result, start = {}, 0
    for name, rows in parts.items():
        part = np.arange(start, start + len(rows))
        result[name] = Grouped(rows, alike[part], equal[part], part, judge)
        start += len(rows)
    return result


def near_duplicates(parts: Iterable[Grouped]) -> int:
    """Number of rows that are near-duplicates of another one."""
    _, sizes = np.unique(np.concatenate([part.alike for part in parts]), return_counts=True)
    return int(sizes[sizes > 1].sum())


def leaks(held_out: Grouped, known: Grouped) -> Iterator[tuple[Place, Place]]:
    """Yield each held-out row that is a near-duplicate of a `known` row, with that row."""
    of_group: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(known.alike.tolist()):
        of_group[group].append(index)
    for record, group, number in zip(held_out.rows.records, held_out.alike.tolist(), held_out.numbers, strict=True):
        near = of_group.get(group, [])[:_COMPARED]
        like = next((index for index in near if known.are_alike(int(number), int(known.numbers[index]))), None)
        if like is not None:
            yield record.place, known.rows.records[like].place


def column_groups(rows: Labelled) -> Groups:
    """Group number of each row by its column [n]; a row without a value is a group of its own."""
    numbers: dict[str, int] = {}
    own = iter(range(len(rows), 2 * len(rows)))
    values = (record.split_group for record in rows.records)
    return np.asarray([next(own) if v is None else numbers.setdefault(v, len(numbers)) for v in values], dtype=np.int64)


def group_count(rows: Labelled) -> int:
    """Number of groups by the column."""
    return len(np.unique(column_groups(rows)))


def connected(first: Groups, second: Groups) -> Groups:
    """Connected components of two groupings [n]."""
    parents = np.arange(len(first), dtype=np.int64)
    for groups in (first, second):
        _, member, inverse = np.unique(groups, return_index=True, return_inverse=True)
        for row in np.flatnonzero(member[inverse] != np.arange(len(groups))).tolist():
            kept, joined = sorted((root_of(parents, row), root_of(parents, int(member[inverse[row]]))))
            parents[joined] = kept
    return np.asarray([root_of(parents, row) for row in range(len(parents))], dtype=np.int64)


def _exactly_the_same(contents: Iterable[str]) -> Groups:
    digests = [blake2b(content.encode(errors="surrogatepass"), digest_size=16).digest() for content in contents]
    numbers: dict[bytes, int] = {}
    return np.asarray([numbers.setdefault(digest, index) for index, digest in enumerate(digests)], dtype=np.int64)


def _always(_left: int, _right: int) -> bool:
    return True
