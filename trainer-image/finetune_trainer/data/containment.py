"""Containment of one text in another by shingles, at rising thresholds of common text.

Asked of pairs whose own text is too short to tell. What is left of a text is worked out once, not once a pair.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from finetune_trainer.data.common_text import SHARES, CommonText
from finetune_trainer.data.shingles import DOUBTFUL, LENGTHS, SIMILAR, Hashes, Ragged, plain, room_for, shingle_hashes

_HELD = 4 << 20
"""Hashes that are kept, four bytes each."""


class _Rest:
    """Text without common parts at some threshold, as sets of shingles."""

    def __init__(self, text: Ragged) -> None:
        self.size = int(text.sizes[0])
        self.last = next(n for n in range(len(LENGTHS)) if not room_for(text.sizes, n + 1)[0])
        self._text = text
        self._sets: list[tuple[Hashes, int]] = []

    def shingles(self, number: int) -> tuple[Hashes, int]:
        """Sorted unique hashes of the shingles of `LENGTHS[number]`, and their number."""
        for length in LENGTHS[len(self._sets) : number + 1]:
            hashes, counts = shingle_hashes(self._text, length)
            self._sets.append((np.unique(hashes), int(counts[0])))
        return self._sets[number]

    @property
    def held(self) -> int:
        """Upper bound of the numbers it stores: the text, and a hash per place and length."""
        return len(self._text.codes) * (1 + len(LENGTHS))


class Containment:
    """Compares texts without common parts; caches the latest results within `_HELD`."""

    def __init__(self, texts: Sequence[str], common: CommonText) -> None:
        """Take all texts and their common shingles."""
        self._texts, self._common, self._held = texts, common, 0
        self._rests: OrderedDict[tuple[int, int], _Rest] = OrderedDict()

    def agree(self, left: int, right: int, level: int) -> bool:
        """Whether one contains nearly all of the other, at each threshold above `level` and with all common text."""
        return all(
            _contained(self._rest(left, lowest), self._rest(right, lowest))
            for lowest in range(level + 1, len(SHARES) + 1)
        )

    def _rest(self, row: int, lowest: int) -> _Rest:
        """A text without its common parts at the thresholds from number `lowest` on."""
        key = row, lowest
        if key in self._rests:
            self._rests.move_to_end(key)
            return self._rests[key]
        rest = _Rest(self._common.rests(plain([self._texts[row]]), lowest).texts)
        self._rests[key] = rest
        self._held += rest.held
        while self._held > _HELD and len(self._rests) > 1:
            self._held -= self._rests.popitem(last=False)[1].held
        return rest


def _contained(left: _Rest, right: _Rest) -> bool:
    """Whether nearly all shingles of the shorter text are in the other."""
    shorter, longer = (left, right) if left.size <= right.size else (right, left)
    for number in range(shorter.last + 1):
        found, count = shorter.shingles(number)
        if found.size >= DOUBTFUL * count or number == shorter.last:
            shared = np.intersect1d(found, longer.shingles(number)[0], assume_unique=True).size
            return shared >= SIMILAR * found.size
    return False
