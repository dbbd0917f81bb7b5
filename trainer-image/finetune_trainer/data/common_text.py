"""Text that many rows share (system prompts, disclaimers, form letters), excluded from near-duplicate detection.

Counted as the share of rows that hold each seven-character shingle, in a table of fixed size over a sample of rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.shingles import Bools, Counts, Hashes, Ragged, shingle_hashes

SHARES = (0.1, 0.25, 0.5)
"""A shingle in more than this share of rows is common. Where nothing else is left of a text, the next share counts."""
SAMPLE = 4096
"""Rows that are counted."""
FEWEST = 8
"""Rows that a common shingle is in at least: in small data a few copies are copies, and no template."""
_LENGTH = 7
_LONGEST_WORD = 20
_SLOT_BITS = 24
_COUNTED = 1 << 18
"""Shingles of a row that are counted: more would fill the table with chance hits."""


@dataclass(frozen=True)
class Rests:
    """Texts without their common parts."""

    texts: Ragged
    levels: Counts
    """Number of the share that was taken for each text; `len(SHARES)` for one made of common text alone, then whole."""


class CommonText:
    """Shingles that are common among texts."""

    def __init__(self, batches: Iterable[Ragged]) -> None:
        """Count the shingles of distinct texts, at most `SAMPLE` of them."""
        counts, rows = np.zeros(1 << _SLOT_BITS, dtype=np.uint16), 0
        for texts in batches:
            hashes, sizes = shingle_hashes(texts, _LENGTH)
            ends = np.cumsum(sizes)
            for start, end in zip(ends - sizes, ends, strict=True):
                counts[np.unique(_slots(hashes[start : min(end, start + _COUNTED)]))] += 1
            rows += len(texts)
        self._levels: NDArray[np.uint8] | None = None
        if counts.max() >= max(FEWEST, SHARES[0] * rows):
            self._levels = np.zeros(len(counts), dtype=np.uint8)
            for share in SHARES:
                self._levels += counts >= max(FEWEST, int(share * rows) + 1)

    def rests(self, texts: Ragged, lowest: int = 0) -> Rests:
        """Texts without their common parts, by the share thresholds from number `lowest` on."""
        levels = np.full(len(texts), lowest, dtype=np.int64)
        if self._levels is None:
            return Rests(texts, levels)
        hashes, sizes = shingle_hashes(texts, _LENGTH)
        found = self._levels[_slots(hashes)]
        kept = np.ones(len(texts.codes), dtype=bool)
        for level in range(lowest, len(SHARES)):
            open_ = levels == level
            if not open_.any():
                break
            common = (found > level) & np.repeat(open_, sizes)
            left = _whole_words(texts, ~_covered(texts, common, sizes))
            empty = open_ & (texts.count(left) == 0) & (texts.sizes > 0)
            levels[empty] += 1
            kept &= left | texts.spread(~open_ | empty)
        return Rests(texts.squeezed(_trimmed(texts, kept)), levels)


def _slots(hashes: Hashes) -> Hashes:
    return hashes >> np.uint32(32 - _SLOT_BITS)


def _covered(texts: Ragged, common: Bools, sizes: Counts) -> Bools:
    """Mask of the code points in a common shingle; those of a text begin at the code point before it."""
    first = np.repeat(texts.starts - 1 - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(common))
    edges = np.zeros(len(texts.codes) + _LENGTH + 1, dtype=np.int32)
    edges[first[common]] += 1
    edges[first[common] + _LENGTH] -= 1
    return np.cumsum(edges[: len(texts.codes)]) > 0


def _whole_words(texts: Ragged, left: Bools) -> Bools:
    """Mask extended to whole words; stretches without a space (Chinese, Thai) are no words."""
    inside = texts.inside & (texts.codes != ord(" "))
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    word = (np.cumsum(begins) - 1)[inside]
    sizes = np.bincount(word)
    whole = (np.bincount(word, weights=left[inside]) > 0) & (sizes <= _LONGEST_WORD)
    left[inside] |= whole[word]
    return left


def _trimmed(texts: Ragged, kept: Bools) -> Bools:
    """Mask without spaces at the ends of stretches."""
    kept = kept & texts.inside
    spaces = kept & (texts.codes == ord(" "))
    beside = np.zeros(len(kept), dtype=bool)
    beside[1:-1] = kept[:-2] & kept[2:]
    return np.asarray(kept & (~spaces | beside))
