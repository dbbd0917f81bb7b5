"""Shingles: overlapping character n-grams hashed to 32 bits. Pure; all texts of a batch in one array.

A text is first made plain: letters, digits and combining marks without case, one space for all that is between. Where
signs outnumber the letters (emoji, operators, formulas), they are what the text holds and are kept.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Counts = NDArray[np.int64]
Hashes = NDArray[np.uint32]

SHORTEST = 5
"""Shingles are at least this long; between two rows there is room for one that goes over the end of its row."""
LONGEST_TEXT = 1 << 22
"""Characters of a text that are looked at."""
SIMILAR = 0.8
"""Jaccard similarity from which two texts are nearly the same."""
LENGTHS = (SHORTEST, 10, 20, 40)
"""Lengths of shingles. Longer ones are taken where a text repeats so many of them that unlike texts would have the same
ones (sequences of bases, numbers, moves)."""
REPETITIVE, DOUBTFUL = 0.57, 0.73
"""Below these shares of different shingles longer ones are taken; between the two a text is looked at both ways, so
that a pair on two sides of a bound still meets."""
_ROOM = 4
"""A text is at least so many times as long as its shingles."""

_SPACE, _LETTER, _SIGN, _NOTHING, _UNKNOWN = 0, 1, 2, 3, 255
_KINDS = np.full(0x110000, _UNKNOWN, dtype=np.uint8)
"""Kind of each code point, filled in as they are met."""
_BLANK = np.uint32(32)
_GAP = "\0" * SHORTEST
_BASE = 0x9E3779B1  # 2^32 over the golden ratio: odd, and spreads bits (Knuth, TAOCP 3, 6.4)


@dataclass(frozen=True)
class Ragged:
    """Texts one after another as code points, with `_GAP` before, between and after them."""

    codes: NDArray[np.uint32]
    starts: Counts
    sizes: Counts

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.starts)

    @property
    def inside(self) -> Bools:
        """Mask of the code points that belong to a text."""
        edges = np.zeros(len(self.codes) + 1, dtype=np.int8)
        np.add.at(edges, self.starts, 1)
        np.add.at(edges, self.starts + self.sizes, -1)
        return np.cumsum(edges[:-1], dtype=np.int8) > 0

    def count(self, mask: Bools) -> Counts:
        """Number of code points per text in a mask."""
        total = np.concatenate([[0], np.cumsum(mask)])
        return np.asarray(total[self.starts + self.sizes] - total[self.starts], dtype=np.int64)

    def spread(self, of_texts: Bools) -> Bools:
        """Values per text repeated per code point; those of gaps have no meaning."""
        number = np.zeros(len(self.codes), dtype=np.int64)
        number[self.starts[1:] - 1] = 1  # the gap before a text is that text's: empty ones start where they end
        return of_texts[np.cumsum(number)]

    def text(self, number: int) -> NDArray[np.uint32]:
        """Code points of one text."""
        return self.codes[self.starts[number] : self.starts[number] + self.sizes[number]]

    def squeezed(self, kept: Bools, *, unspaced: Bools | None = None) -> "Ragged":
        """The masked code points, with one space between separate stretches, except in `unspaced` texts."""
        inside = self.inside
        kept &= inside
        blank = inside & ~kept
        blank[1:] &= kept[:-1]
        if unspaced is not None:
            blank &= ~self.spread(unspaced)
        taken = ~inside | kept | blank
        places = np.flatnonzero(taken)
        last = blank[places[:-1]] & ~inside[places[1:]]
        taken[places[:-1][last]] = False
        total = np.cumsum(taken, dtype=np.int64)
        starts = total[self.starts - 1]
        sizes = total[self.starts + self.sizes] - 1 - starts
        return Ragged(np.where(blank, _BLANK, self.codes)[taken], starts, sizes)


def plain(texts: Sequence[str]) -> Ragged:
    """Normalise texts; white space alone becomes empty."""
    folded = [unicodedata.normalize("NFKC", text[:LONGEST_TEXT].casefold()) for text in texts]
    sizes = np.asarray([len(text) for text in folded], dtype=np.int64)
    starts = np.cumsum([0, *(sizes[:-1] + len(_GAP))], dtype=np.int64)[: len(sizes)] + len(_GAP)
    flat = _GAP + _GAP.join(folded) + _GAP
    codes = np.frombuffer(flat.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    whole = Ragged(codes, starts, sizes)
    kinds = _kinds(codes)
    if (kinds == _NOTHING).any():
        whole, kinds = _without(whole, kinds == _NOTHING), kinds[kinds != _NOTHING]
        codes = whole.codes
    letters, signs = kinds == _LETTER, kinds == _SIGN
    single = signs.copy()
    single[1:] &= codes[1:] != codes[:-1]
    of_signs = whole.count(single) > whole.count(letters)
    kept = letters | (signs & whole.spread(of_signs)) if of_signs.any() else letters
    return whole.squeezed(kept, unspaced=of_signs)


def shingle_hashes(texts: Ragged, length: int) -> tuple[Hashes, Counts]:
    """Hashes of all shingles, text by text, and their number per text.

    Both ends of a text count as a space. A text that is too short for a shingle has none, but for the `SHORTEST`
    ones, of which each text has at least one.
    """
    counts = np.maximum(texts.sizes + 3 - length, int(length == SHORTEST))
    first = np.repeat(texts.starts - 1 - (np.cumsum(counts) - counts), counts)
    spaced = np.where(texts.codes == 0, _BLANK, texts.codes)
    return _windows(spaced, length)[first + np.arange(len(first))], counts


def _windows(codes: NDArray[np.uint32], length: int) -> Hashes:
    """Hash of each run of `length` code points: polynomials of mixed code points, by doubling."""
    singles = found = _mixed(codes)
    covered = 1
    for bit in f"{length:b}"[1:]:
        found = found[:-covered] * np.uint32(pow(_BASE, covered, 2**32)) + found[covered:]
        covered *= 2
        if bit == "1":
            found = found[:-1] * np.uint32(_BASE) + singles[covered:]
            covered += 1
    return _mixed(found)


def _mixed(values: Hashes) -> Hashes:
    """Bit mixing (finaliser of MurmurHash3)."""
    mixed = values ^ (values >> np.uint32(16))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def _without(texts: Ragged, dropped: Bools) -> Ragged:
    total = np.concatenate([[0], np.cumsum(~dropped)])
    starts = total[texts.starts]
    return Ragged(texts.codes[~dropped], starts, total[texts.starts + texts.sizes] - starts)


def _kinds(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    kinds = _KINDS[codes]
    unknown = codes[kinds == _UNKNOWN]
    if unknown.size:
        for code in np.unique(unknown).tolist():
            _KINDS[code] = _kind(chr(code))
        kinds = _KINDS[codes]
    return kinds


def _kind(char: str) -> int:
    if "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return _NOTHING  # variation selectors: marks by their category, and no part of a word
    category = unicodedata.category(char)
    if category == "Cf":
        return _NOTHING
    return {"L": _LETTER, "N": _LETTER, "M": _LETTER, "P": _SIGN, "S": _SIGN}.get(category[0], _SPACE)


def room_for(sizes: Counts, number: int) -> Bools:
    """Whether texts of so many characters are long enough for shingles of `LENGTHS[number]` [n]."""
    return sizes >= _ROOM * LENGTHS[number] if number < len(LENGTHS) else np.zeros(len(sizes), dtype=bool)
