"""Stratified group splits that keep every class in training, the same on every machine.

The order in which rows are dealt comes from a keyed hash of their content, not from their position, so that neither
the order of rows nor that of files matters, and adding rows moves few others.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SPLITS = TRAIN, VALIDATION, TEST = "train", "validation", "test"
_LARGEST = 0.3
RETENTION_SPLIT = "retention"
"""Rows that are only measured on; see `retention`."""


def sources_path(place: str) -> str:
    """Field of the spec with the files of a split."""
    return "spec.evaluation.retention.data" if place == RETENTION_SPLIT else f"spec.data.{place}"


def draw_keys(contents: Iterable[str], seed: int) -> list[bytes]:
    """Pseudo-random key per row that depends on its content and `seed` alone."""
    salt = seed.to_bytes(16, "little")
    return [blake2b(c.encode(errors="surrogatepass"), digest_size=16, salt=salt).digest() for c in contents]


def split_rows(
    keys: Sequence[bytes],
    groups: NDArray[np.int64],
    strata: NDArray[np.int64],
    classes: Sequence[frozenset[str]],
    shares: dict[str, float],
) -> NDArray[np.int64]:
    """Assign each row to training (0) or to the first, second ... split of `shares` (1, 2 ...) [n].

    Args:
        keys: what decides the order, from `draw_keys`.
        groups: rows with equal numbers stay together.
        strata: rows with equal numbers are spread by the shares.
        classes: the classes of each row; every class keeps at least one row in training.
        shares: share of all rows for each split apart from training; their sum is below 1.

    A split gets its share to the row, or at least one, as far as groups and classes allow.
    """
    assigned = np.zeros(len(keys), dtype=np.int64)
    if not shares:
        return assigned
    quotas = _quotas(strata, list(shares.values()))
    members = _members(groups, keys)
    for rows in members:
        counts = np.bincount(strata[rows], minlength=quotas.shape[1])
        for number in _by_need(quotas):
            if (counts <= quotas[number]).all():
                quotas[number] -= counts
                assigned[rows] = number + 1
                break
    _top_up(assigned, members, quotas)
    _return_lost_classes(assigned, members, classes)
    return assigned


def draw_rows(keys: Sequence[bytes], strata: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Stratified sample of `wanted` rows; ascending indices, one row per stratum first."""
    if wanted >= len(keys):
        return np.arange(len(keys), dtype=np.int64)
    counts = np.bincount(strata)
    quota = _apportion(counts, wanted / len(keys), wanted, counts, at_least=1)
    taken: list[int] = []
    for row in sorted(range(len(keys)), key=lambda index: keys[index]):
        if quota[strata[row]] > 0:
            quota[strata[row]] -= 1
            taken.append(row)
    return np.asarray(sorted(taken), dtype=np.int64)


def _quotas(strata: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.int64]:
    """Rows per split and stratum [splits, strata]; each stratum keeps one row for training."""
    counts = np.bincount(strata)
    free = np.maximum(counts - 1, 0)
    quotas = np.zeros((len(shares), len(counts)), dtype=np.int64)
    for number, share in enumerate(shares):
        total = max(1, round(share * len(strata)))
        quotas[number] = _apportion(counts, share, total, free)
        free = free - quotas[number]
    return quotas


def _apportion(
    counts: NDArray[np.int64], share: float, total: int, free: NDArray[np.int64], at_least: int = 0
) -> NDArray[np.int64]:
    """Largest remainders: `share` of each count, rounded so that the sum is `total` where `free` allows it."""
    exact = counts * share
    quota = np.minimum(np.maximum(np.floor(exact).astype(np.int64), np.minimum(at_least, counts)), free)
    while quota.sum() != total:
        step = 1 if quota.sum() < total else -1
        movable = quota < free if step > 0 else quota > 0
        if not movable.any():
            break
        distance = np.where(movable, (exact - quota) * step, -np.inf)
        quota[int(np.argmax(distance))] += step
    return np.asarray(quota, dtype=np.int64)


def _members(groups: NDArray[np.int64], keys: Sequence[bytes]) -> list[NDArray[np.int64]]:
    """Rows of each group; the groups in the order of their smallest key."""
    order = sorted(range(len(keys)), key=lambda index: keys[index])
    by_group: dict[int, list[int]] = {}
    for row in order:
        by_group.setdefault(int(groups[row]), []).append(row)
    return [np.asarray(rows, dtype=np.int64) for rows in by_group.values()]


def _by_need(quotas: NDArray[np.int64]) -> list[int]:
    return sorted(range(len(quotas)), key=lambda number: -int(quotas[number].sum()))


def _top_up(assigned: NDArray[np.int64], members: Sequence[NDArray[np.int64]], quotas: NDArray[np.int64]) -> None:
    """Move whole groups to splits below their quota, the closest fit first.

    A split without any row gets the smallest group, unless that is `_LARGEST` of all rows or more.
    """
    by_size = sorted(members, key=len)
    for number in range(len(quotas)):
        short = int(quotas[number].sum())
        empty = not (assigned == number + 1).any()
        for rows in by_size:
            if assigned[rows[0]] != 0:
                continue
            too_large = abs(short - len(rows)) >= short
            if short <= 0 or (too_large and not (empty and len(rows) < _LARGEST * len(assigned))):
                break
            assigned[rows] = number + 1
            short, empty = short - len(rows), False


def _return_lost_classes(
    assigned: NDArray[np.int64], members: Sequence[NDArray[np.int64]], classes: Sequence[frozenset[str]]
) -> None:
    """Move groups back to training until it has every class."""
    kept = {name for row in np.flatnonzero(assigned == 0).tolist() for name in classes[row]}
    for rows in members:
        missing = {name for row in rows.tolist() for name in classes[row]} - kept
        if missing and assigned[rows[0]] != 0:
            assigned[rows] = 0
            kept |= {name for row in rows.tolist() for name in classes[row]}
