"""Near-duplicate test of two texts: Jaccard similarity of shingles without common text.

Compared is what is left without the text that many rows share. Shingles have five characters, and more where a text
repeats so many of them that unlike texts would have the same ones (sequences of bases, numbers, moves). Of a long text
the 512 smallest hashes stand for all.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.common_text import SHARES, CommonText, Rests
from finetune_trainer.data.containment import Containment
from finetune_trainer.data.shingles import (
    DOUBTFUL,
    LENGTHS,
    REPETITIVE,
    SIMILAR,
    Hashes,
    Ragged,
    plain,
    room_for,
    shingle_hashes,
)

_SKETCH = 512
_SHORT = 32
"""Characters below which what is left tells too little by itself: the rest of the texts must agree too."""
_LONG = 8192
"""Characters of a text from which common shingles alone are no template, but a small alphabet."""
_CACHED, _VERDICTS = 2048, 1 << 17

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sketches:
    """Sketches of some texts of a batch, by shingles of one length."""

    hashes: Hashes
    """One sketch after another, each sorted."""
    counts: Indices
    texts: Indices
    """Which texts they are of."""
    kinds: Indices
    """Only sketches of one kind can be compared."""


@dataclass(frozen=True)
class _View:
    sketch: Hashes
    size: int


class Judge:
    """Pairwise similarity of texts; caches the latest results."""

    def __init__(self, texts: Sequence[str], common: CommonText) -> None:
        """Take all texts and their common shingles."""
        self._texts, self._common = texts, common
        self._containment = Containment(texts, common)
        self._seen: OrderedDict[int, dict[int, _View]] = OrderedDict()
        self._verdicts: dict[tuple[int, int], bool] = {}

    def alike(self, left: int, right: int) -> bool:
        """Whether two texts, by their indices, are near-duplicates."""
        pair = min(left, right), max(left, right)
        if pair not in self._verdicts:
            if len(self._verdicts) == _VERDICTS:
                self._verdicts.clear()
            self._verdicts[pair] = self._compare(left, right)
        return self._verdicts[pair]

    def _compare(self, left: int, right: int) -> bool:
        """Compare by the longest shingles that both have."""
        of_left, of_right = self._views(left), self._views(right)
        kind = max(of_left.keys() & of_right.keys(), default=None)
        if kind is None or similarity(of_left[kind].sketch, of_right[kind].sketch) < SIMILAR:
            return False
        is_telling = min(of_left[kind].size, of_right[kind].size) >= _SHORT
        return is_telling or self._containment.agree(left, right, kind // len(LENGTHS))

    def _views(self, row: int) -> dict[int, _View]:
        """Views of a text by kind."""
        if row in self._seen:
            self._seen.move_to_end(row)
            return self._seen[row]
        rests = self._common.rests(plain([self._texts[row]]))
        size = int(rests.texts.sizes[0])
        self._seen[row] = {int(found.kinds[0]): _View(found.hashes, size) for found in sketches(rests)}
        if len(self._seen) > _CACHED:
            self._seen.popitem(last=False)
        return self._seen[row]


def sketches(rests: Rests) -> Iterator[Sketches]:
    """Yield sketches of texts by shingle length.

    A text that is made of common text alone has none, unless it is long: only its equals are like it.
    """
    texts = rests.texts
    chosen = np.flatnonzero(((rests.levels < len(SHARES)) & (texts.sizes > 0)) | (texts.sizes >= _LONG))
    for number, length in enumerate(LENGTHS):
        if not len(chosen):
            return
        part = Ragged(texts.codes, texts.starts[chosen], texts.sizes[chosen])
        hashes, sizes = shingle_hashes(part, length)
        hashes, counts = _unique(hashes, sizes)
        different = counts / sizes
        longer = room_for(part.sizes, number + 1)
        here = ~longer | (different >= REPETITIVE)
        if here.any():
            within = np.arange(len(hashes)) - np.repeat(np.cumsum(counts) - counts, counts)
            hashes = hashes[np.repeat(here, counts) & (within < _SKETCH)]
            kinds = rests.levels[chosen[here]] * len(LENGTHS) + number
            yield Sketches(hashes, np.minimum(counts[here], _SKETCH), chosen[here], kinds)
        chosen = chosen[longer & (different < DOUBTFUL)]


def similarity(left: Hashes, right: Hashes) -> float:
    """Jaccard similarity of two sorted arrays of unique hashes."""
    shared = np.intersect1d(left, right, assume_unique=True).size
    return shared / (left.size + right.size - shared)


def _unique(hashes: Hashes, sizes: Indices) -> tuple[Hashes, Indices]:
    """Sorted unique hashes per text, and their number."""
    texts = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    keyed = np.sort((texts << np.uint64(32)) | hashes)
    keyed = keyed[np.diff(keyed, prepend=np.uint64(2**64 - 1)) != 0]
    return keyed.astype(np.uint32), np.bincount((keyed >> np.uint64(32)).astype(np.int64), minlength=len(sizes))
