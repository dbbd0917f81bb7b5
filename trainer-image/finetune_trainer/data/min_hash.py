"""MinHash signatures of sets of hashes, and the buckets of those that agree in a band. Pure, on whole arrays.

Broder 1997; Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3. Two sets with a Jaccard similarity of
0.8 miss each other once in some two thousand times.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BANDS, ROWS = 16, 4
_ODD = np.uint32(0x9E3779B1)


def min_hashes(hashes: NDArray[np.uint32], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The smallest hash of each set under each of the permutations [sets, BANDS * ROWS]; no set is empty."""
    starts = np.cumsum(counts) - counts
    odd = np.random.default_rng(0).integers(2**31, size=BANDS * ROWS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return np.stack([np.minimum.reduceat(hashes * number, starts) for number in odd], axis=1)


def band_keys(smallest: NDArray[np.uint32], kinds: NDArray[np.int64]) -> NDArray[np.uint32]:
    """One hash per band [sets, BANDS]; sets of different kinds never agree but by chance."""
    keys = np.repeat(kinds.astype(np.uint32)[:, None], BANDS, axis=1)
    for row in range(ROWS):
        keys = (keys + (smallest[:, row::ROWS] >> np.uint32(4))) * _ODD
        keys ^= keys >> np.uint32(15)
    return keys


def buckets(keys: NDArray[np.uint32]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of sets that agree in one band."""
    for band in keys.T if len(keys) else ():
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=~band[order[0]]))
        sizes = np.diff(starts, append=len(order))
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            yield order[start : start + size]
