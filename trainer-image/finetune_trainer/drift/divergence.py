"""Jensen-Shannon divergence of distributions, and its level by chance alone.

The measure is Jensen and Shannon's divergence in bits (Lin 1991, doi:10.1109/18.61115): symmetric, from 0 to 1, and
defined where one side has nothing. Small divergences are about a sixth of the population stability index (PSI/8 in
nats), so the usual limits of that index, 0.1 and 0.25, are 0.02 and 0.05 here.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from finetune_api.drift import Drift

Floats = NDArray[np.float64]
SOME, STRONG = 0.02, 0.05
_SURE = 0.95
_SPREAD_OF_MASS = 1.5  # 95 in 100 splits of one data set are below this times the mean


def divergence(first: Floats, second: Floats) -> float:
    """Jensen-Shannon divergence in bits of two distributions [k]; they need not sum to 1. 0 where one is empty."""
    if not first.sum() or not second.sum():
        return 0.0
    one, other = first / first.sum(), second / second.sum()
    middle = (one + other) / 2
    return float(max(0.0, _information(one, middle) / 2 + _information(other, middle) / 2))


def _information(part: Floats, middle: Floats) -> float:
    inside = part > 0
    return float(np.sum(part[inside] * np.log2(part[inside] / middle[inside])))


def chance_of_bins(bins: int, rows: int, others: int) -> float:
    """95th percentile of the divergence of two samples of one distribution.

    For independent rows, 8 ln 2 times the divergence in bits, over 1/rows + 1/others, is about chi-squared with
    `bins - 1` degrees of freedom.
    """
    if bins < 2:
        return 0.0
    return float(chi2.ppf(_SURE, bins - 1) * (1 / rows + 1 / others) / (8 * np.log(2)))


def chance_of_mass(halves: float, rows: int, others: int) -> float:
    """The same for tokens and characters, which are not independent within a row.

    It follows from `halves`, the divergence between two halves of the `rows`: chance falls with the number of rows.
    """
    return _SPREAD_OF_MASS * halves * (1 / rows + 1 / others) / (4 / rows)


def graded(value: float, chance: float) -> Drift:
    """Verdict on a divergence beyond chance."""
    beyond = value - chance
    if beyond < SOME:
        return Drift.NONE
    return Drift.SOME if beyond < STRONG else Drift.STRONG
