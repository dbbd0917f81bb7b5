"""Mixing of several training sources by weight."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import Data, DataSource
from finetune_api.data_report import SourceReport
from finetune_trainer.data.reading.loading import Loaded
from finetune_trainer.data.row_groups import Grouped
from finetune_trainer.data.splits import TRAIN, draw_rows


def mixing_shares(sources: Sequence[DataSource]) -> tuple[float, ...] | None:
    """Share of each source by the weights; None without weights, where every row counts the same."""
    weights = [source.weight for source in sources if source.weight is not None]
    return tuple(weight / sum(weights) for weight in weights) or None


def common_prefix(sources: Sequence[DataSource]) -> str:
    """The input prefix that all sources share; empty where they differ."""
    prefixes = {source.prefix for source in sources}
    return prefixes.pop() if len(prefixes) == 1 else ""


def source_names(sources: Sequence[DataSource]) -> list[str]:
    """A unique name per source: its URI, with subset and split where needed."""
    names: list[str] = []
    for source in sources:
        name = " ".join(filter(None, [source.uri, source.subset, source.split]))
        again = sum(other.partition(" #")[0] == name for other in names)
        names.append(f"{name} #{again + 1}" if again else name)
    return names


def draw_shares(
    keys: Sequence[bytes],
    strata: NDArray[np.int64],
    sources: NDArray[np.int64],
    shares: tuple[float, ...] | None,
    wanted: int,
) -> NDArray[np.int64]:
    """Draw `wanted` rows, from each source its share as far as it has enough; ascending indices.

    Without shares, sources give by their sizes. See `draw_rows` for keys and strata.
    """
    if shares is None or wanted >= len(keys):
        return draw_rows(keys, strata, wanted)
    taken = []
    for number, quota in quotas(np.bincount(sources, minlength=len(shares)), shares, wanted).items():
        rows = np.flatnonzero(sources == number)
        _, alike = np.unique(strata[rows], return_inverse=True)
        taken.append(rows[draw_rows([keys[int(row)] for row in rows], alike, quota)])
    return np.sort(np.concatenate(taken))


def quotas(sizes: NDArray[np.int64], shares: Sequence[float], wanted: int) -> dict[int, int]:
    """Rows drawn from each source: its share, capped at its size, the remainder from the others."""
    found: dict[int, int] = {}
    open_ = [number for number in range(len(sizes)) if sizes[number]]
    while open_:
        left = wanted - sum(found.values())
        total = sum(shares[number] for number in open_)
        full = [number for number in open_ if sizes[number] <= left * shares[number] / total]
        if not full:
            ends = np.rint(np.cumsum([shares[number] for number in open_]) / total * left).astype(int)
            parts = np.diff([0, *ends])
            return found | {number: max(1, int(part)) for number, part in zip(open_, parts, strict=True)}
        found |= {number: int(sizes[number]) for number in full}
        open_ = [number for number in open_ if number not in full]
    return found


def mixed_sources(data: Data, loaded: Loaded, splits: Mapping[str, Grouped]) -> list[SourceReport]:
    """Report rows of the training sources; empty for a single source."""
    if len(data.train) == 1:
        return []
    counts = {
        name: np.bincount([record.source for record in part.rows.records], minlength=len(data.train))
        for name, part in splits.items()
        if name == TRAIN or not getattr(data, name)
    }
    rows, names = counts[TRAIN], source_names(data.train)
    shares = mixing_shares(data.train) or tuple(rows / rows.sum())
    present = sum(share for share, own in zip(shares, rows, strict=True) if own)
    return [
        SourceReport(
            name=names[number],
            prefix=source.prefix,
            rows_read=loaded.read_of[number],
            rows={name: int(part[number]) for name, part in counts.items()},
            share=shares[number] / present if rows[number] else 0,
            passes=shares[number] / present * rows.sum() / rows[number] if rows[number] else None,
        )
        for number, source in enumerate(data.train)
    ]
