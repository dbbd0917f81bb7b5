"""Row order of an epoch: a pure function of seed and epoch number."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import RowOrder

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sampler:
    """Sampler over rows of several sources, or in a given order.

    An epoch always has as many rows as there are. With `shares`, each source gives its share of them, and goes through
    all of its rows, shuffled anew each time, before it gives one again.
    """

    order: RowOrder
    sources: NDArray[np.int64]
    """Source of each row, [n]."""
    difficulty: NDArray[np.float64]
    """What `EasyFirst` sorts by, [n]."""
    seed: int
    shares: tuple[float, ...] | None = None
    """Share of each source; None where every row comes once an epoch."""
    rows_in_all: int = 0
    """Rows of the whole training, over which `AsGiven` spreads the sources; one epoch at least."""

    def rows(self, epoch: int) -> Rows:
        """Row indices of an epoch, as many as there are rows; unordered unless `is_ordered`."""
        if self.order is RowOrder.AS_GIVEN:
            return self._stages(epoch)
        drawn = np.arange(len(self.sources)) if self.shares is None else self._drawn(epoch)
        if not self.is_ordered(epoch):
            return drawn
        drawn = np.random.default_rng((self.seed, epoch)).permutation(drawn)  # rows that are equally hard
        return drawn[np.argsort(self.difficulty[drawn], kind="stable")]

    def is_ordered(self, epoch: int) -> bool:
        """Whether the rows of an epoch are trained on in their given order."""
        return self.order is RowOrder.AS_GIVEN or (self.order is RowOrder.EASY_FIRST and epoch == 0)

    def digest(self) -> str:
        """SHA-256 over the sampler's inputs beside the spec."""
        summed = hashlib.sha256(self.sources.astype("<i8").tobytes())
        summed.update(self.difficulty.astype("<f8").tobytes())
        return summed.hexdigest()

    @cached_property
    def _members(self) -> list[Rows]:
        """Rows of each non-empty source, in the order of the sources."""
        return [np.flatnonzero(self.sources == number) for number in np.unique(self.sources)]

    def _quotas(self, rows: int) -> list[int]:
        """Number of rows from each source among `rows`."""
        if self.shares is None:
            weights = [float(len(members)) for members in self._members]
        else:
            weights = [self.shares[number] for number in np.unique(self.sources)]
        return apportion(weights, rows)

    def _drawn(self, epoch: int) -> Rows:
        quotas = self._quotas(len(self.sources))
        return np.concatenate(
            [
                self._passes(members, number, epoch * quota, quota)
                for number, (members, quota) in enumerate(zip(self._members, quotas, strict=True))
            ]
        )

    def _passes(self, members: Rows, number: int, start: int, count: int) -> Rows:
        """A slice of the infinite sequence of shuffled passes over one source."""
        first, last = start // len(members), (start + count - 1) // len(members)
        orders = [
            np.random.default_rng((self.seed, number, again)).permutation(members) for again in range(first, last + 1)
        ]
        begin = start - first * len(members)
        return np.concatenate(orders)[begin : begin + count]

    def _stages(self, epoch: int) -> Rows:
        rows = len(self.sources)
        quotas = self._quotas(max(rows, self.rows_in_all))
        ends = np.cumsum(quotas)
        places = np.arange(epoch * rows, (epoch + 1) * rows)
        stages = np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
        inside = places - np.concatenate([[0], ends])[stages]
        sizes = np.asarray([len(members) for members in self._members])
        starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        chosen: Rows = np.concatenate(self._members)[starts[stages] + inside % sizes[stages]]
        return chosen


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Split `total` by the weights, by largest remainders; at least one each, where there are enough."""
    exact = np.asarray(weights, np.float64) / sum(weights) * total
    parts = np.floor(exact).astype(np.int64)
    most_missing = np.argsort(parts - exact, kind="stable")[: total - int(parts.sum())]
    parts[most_missing] += 1
    for empty in np.flatnonzero(parts == 0) if total >= len(parts) else ():
        parts[empty] += 1
        parts[np.argmax(parts)] -= 1
    return [int(part) for part in parts]
