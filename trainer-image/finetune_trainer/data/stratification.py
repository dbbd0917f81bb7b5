"""Strata of rows, whose shares are the same in all splits."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import Label

_BINS = 10
_ROWS_A_BIN = 20


def strata(problem_type: ProblemType, labels: Sequence[Label], *, stratify: bool) -> NDArray[np.int64]:
    """Stratum number of each row [n].

    That is its class; for numbers, the tenth of all rows it falls in (wider bins for few rows); for label sets and tags
    of words, the row's rarest one, since the split of the frequent ones follows by itself.
    """
    are_sets = any(isinstance(label, tuple) for label in labels)
    if not stratify or (problem_type is ProblemType.AUTO and not are_sets):
        return np.zeros(len(labels), dtype=np.int64)
    if problem_type is ProblemType.REGRESSION:
        return _quantiles(np.asarray(labels, dtype=np.float64))
    counts = Counter(name for label in labels if isinstance(label, tuple) for name in label)
    names = [_rarest(label, counts) if isinstance(label, tuple) else str(label) for label in labels]
    index = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.asarray([index[name] for name in names], dtype=np.int64)


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    bins = max(1, min(_BINS, len(values) // _ROWS_A_BIN))
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _rarest(label: tuple[str, ...], counts: Counter[str]) -> str:
    return min(label, key=lambda name: (counts[name], name), default="")
