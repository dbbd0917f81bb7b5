"""Batch plan: pure functions of lengths and seed, so that training can resume at any step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.sampler import Rows, Sampler

_MEGABATCH = 50


@dataclass(frozen=True)
class BatchPlan:
    """Grouping of rows into optimizer steps and forward passes.

    Rows of like length are put together, so that little is padded; the order of the batches stays random. A step
    has `batch_size` rows; a forward pass has as many of them as fit `token_budget` padded tokens. Within that, a step
    is cut where another pass costs less than the padding that it saves, unless `per_device_batch_size` says how many
    rows go together.
    """

    lengths: NDArray[np.int64]
    """Length of each row in tokens, [n]."""
    batch_size: int
    per_device_batch_size: int
    token_budget: int
    seed: int
    pass_cost: int = 128
    """What a further forward and backward pass costs beside its tokens, in tokens."""
    packed: bool = False
    """Whether a pass takes rows one after the other, without padding."""
    course: Sampler | None = None
    """Which rows an epoch takes; None for every row once, shuffled."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the rows."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, number: int) -> list[Rows]:
        """Batches of row indices of epoch `number` (from 0), deterministic; every row once without a sampler."""
        rng = np.random.default_rng((self.seed, number))
        rows = np.arange(len(self.lengths)) if self.course is None else self.course.rows(number)
        if self.course is not None and self.course.is_ordered(number):
            return self._cut(rows)
        batches = [
            batch
            for mega in self._megabatches(rng.permutation(rows))
            for batch in self._cut(mega[np.argsort(-self.lengths[mega], kind="stable")])
        ]
        return [batches[index] for index in rng.permutation(len(batches))]

    def micro_batches(self, batch: Rows) -> Iterator[Rows]:
        """Split the rows of one step into forward passes."""
        if self.packed:
            yield from cut_packed(batch, self.lengths, self.token_budget, self.per_device_batch_size)
            return
        for part in cut_by_tokens(batch, self.lengths, self.token_budget, self.per_device_batch_size):
            if self.per_device_batch_size:
                yield part
            else:
                yield from cut_cheapest(part, self.lengths, self.pass_cost)

    def _megabatches(self, order: Rows) -> list[Rows]:
        # At least four, else a small data set would see the very same batches in every epoch. All but the last
        # hold whole batches, so that an epoch has no more steps than it must.
        steps = self.steps_per_epoch
        count = max(min(4, steps), steps // _MEGABATCH)
        size = -(-steps // count) * self.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _cut(self, rows: Rows) -> list[Rows]:
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]


def cut_by_tokens(rows: Rows, lengths: NDArray[np.int64], budget: int, most_rows: int = 0) -> Iterator[Rows]:
    """Split rows, sorted by falling length, into parts of at most `budget` padded tokens (one row at least)."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(rows):
        fitting = max(1, budget // max(1, int(lengths[rows[start]])))
        size = min(fitting, most_rows) if most_rows else fitting
        yield rows[start : start + size]
        start += size


def cut_packed(rows: Rows, lengths: NDArray[np.int64], budget: int, most_rows: int = 0) -> Iterator[Rows]:
    """Split rows, sorted by falling length, into parts of at most `budget` tokens (one row at least), unpadded."""
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    start, tokens = 0, 0
    for place, length in enumerate(lengths[rows].tolist()):
        if place > start and (tokens + length > budget or place - start == most_rows):
            yield rows[start:place]
            start, tokens = place, 0
        tokens += length
    yield rows[start:]


def cut_cheapest(rows: Rows, lengths: NDArray[np.int64], pass_cost: int) -> list[Rows]:
    """Split rows, sorted by falling length, to minimise padded tokens plus `pass_cost` per part.

    Exact, by dynamic programming over the place of the last cut.
    """
    longest = lengths[rows]
    least, last_cut = np.zeros(len(rows) + 1), np.zeros(len(rows) + 1, np.int64)
    for end in range(1, len(rows) + 1):
        costs = least[:end] + longest[:end] * (end - np.arange(end)) + pass_cost
        last_cut[end] = costs.argmin()
        least[end] = costs[last_cut[end]]
    parts, end = [], len(rows)
    while end:
        parts.append(rows[last_cut[end] : end])
        end = last_cut[end]
    return parts[::-1]


@dataclass(frozen=True)
class Volume:
    """Numbers of tokens that go through a model, with and without padding."""

    tokens: int
    """Those of texts."""
    padded: int
    """All of them, padding included."""

    @property
    def padding_ratio(self) -> float:
        """Share of padding; 0 without tokens."""
        return 1 - self.tokens / self.padded if self.padded else 0.0


def volume_of(parts: list[Rows], lengths: NDArray[np.int64], *, packed: bool = False) -> Volume:
    """Token volume of rows in their forward passes; `lengths` are those of all rows, [n]."""
    tokens = sum(int(lengths[part].sum()) for part in parts)
    return Volume(tokens, tokens if packed else sum(len(part) * int(lengths[part].max()) for part in parts))
