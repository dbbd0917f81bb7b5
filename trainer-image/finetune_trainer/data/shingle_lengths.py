"""Shingle lengths, and similarity thresholds of near-duplicates.

Longer shingles are taken where a text repeats so many of them that unlike texts would have the same ones (sequences of
bases, numbers, moves).
"""

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.shingles import SHORTEST

SIMILAR = 0.8
"""Jaccard similarity from which two texts are nearly the same."""
LENGTHS = (SHORTEST, 10, 20, 40)
REPETITIVE, DOUBTFUL = 0.57, 0.73
"""Below these shares of different shingles longer ones are taken; between the two a text is looked at both ways, so
that a pair on two sides of a bound still meets."""
_ROOM = 4
"""A text is at least so many times as long as its shingles."""


def room_for(sizes: NDArray[np.int64], number: int) -> NDArray[np.bool_]:
    """Whether texts of so many characters are long enough for shingles of `LENGTHS[number]` [n]."""
    return sizes >= _ROOM * LENGTHS[number] if number < len(LENGTHS) else np.zeros(len(sizes), dtype=bool)
