"""Which texts are nearly the same: MinHash signatures, banded buckets, and the real similarity as the judge.

Texts are compared as sets of five-character pieces of their letters and digits, without case and punctuation; two are
nearly the same if they share 80 % of their pieces (Jaccard similarity). MinHash and banding only find the candidates
(Broder 1997; Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3), so there are no false alarms; a pair
at the threshold is missed once in about three thousand. All on whole arrays: 100,000 short texts take seconds.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIMILAR = 0.8
_PIECE = 5
_BANDS, _ROWS = 16, 4
_CHUNK = 4096
_LEADERS = 32
_NOT_WORD = re.compile(r"[\W_]+")
_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads bits (Knuth, TAOCP 3, 6.4)

Pieces = NDArray[np.uint64]


def near_duplicate_groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Give each text the number of its group, the smallest index in it [n]. A text like no other is its own group."""
    pieces = [piece_hashes(text) for text in texts]
    parents = np.arange(len(texts), dtype=np.int64)
    for bucket in _buckets(pieces):
        _join(bucket, pieces, parents)
    return np.asarray([_root(parents, index) for index in range(len(texts))], dtype=np.int64)


def similarity(left: Pieces, right: Pieces) -> float:
    """Jaccard similarity of two sorted arrays of different pieces."""
    shared = np.intersect1d(left, right, assume_unique=True).size
    return shared / (left.size + right.size - shared)


def piece_hashes(text: str) -> Pieces:
    """Hashes of the five-character pieces of `text`, sorted and each once; at least one, also for empty text."""
    plain = f" {_NOT_WORD.sub(' ', text.casefold()).strip()} ".ljust(_PIECE)
    letters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    count = len(letters) - _PIECE + 1
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(_PIECE):
        hashes = (hashes + letters[offset : offset + count]) * _PRIME
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def _buckets(pieces: Sequence[Pieces]) -> Iterator[NDArray[np.int64]]:
    """Yield sets of indices whose signatures agree in one band."""
    if not pieces:
        return
    keys = np.concatenate([_band_keys(pieces[start : start + _CHUNK]) for start in range(0, len(pieces), _CHUNK)])
    for band in keys.T:
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=~band[order[0]]))
        sizes = np.diff(starts, append=len(order))
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            yield order[start : start + size]


def _band_keys(pieces: Sequence[Pieces]) -> NDArray[np.uint64]:
    """One hash a band of the MinHash signature [texts, bands]."""
    starts = np.cumsum([0, *(p.size for p in pieces[:-1])])
    flat = np.concatenate(pieces)
    keys = np.zeros((len(pieces), _BANDS), dtype=np.uint64)
    for number, odd in enumerate(_multipliers()):
        smallest = np.minimum.reduceat((flat * odd) >> np.uint64(16), starts)
        band = number // _ROWS
        keys[:, band] = (keys[:, band] + smallest) * _PRIME
    return keys


def _multipliers() -> NDArray[np.uint64]:
    return np.random.default_rng(0).integers(2**63, size=_BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)


def _join(bucket: NDArray[np.int64], pieces: Sequence[Pieces], parents: NDArray[np.int64]) -> None:
    """Join the groups of similar members. Each is compared with one member of each group that is in the bucket.

    The number of groups compared with is bounded, so that a bucket of many unlike texts stays cheap.
    """
    leaders: list[int] = []
    for index in map(int, bucket):
        root = _root(parents, index)
        known = next((leader for leader in leaders if _root(parents, leader) == root), None)
        like = [
            leader
            for leader in leaders
            if _root(parents, leader) != root and similarity(pieces[leader], pieces[index]) >= SIMILAR
        ]
        for leader in like:
            other = _root(parents, leader)
            root, other = sorted((_root(parents, index), other))
            parents[other] = root
        if known is None and not like and len(leaders) < _LEADERS:
            leaders.append(index)


def _root(parents: NDArray[np.int64], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = int(parents[index])
    return index
