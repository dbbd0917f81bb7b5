"""Constant predictions: their metrics, and detection of models that give no other. Pure."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_api.tasks import ProblemType

_LEAST_ROWS = 3
"""Fewer rows may well have one answer."""
_LONGEST = 60


def prior_logits(targets: NDArray[np.generic], problem: ProblemType, labels: int, rows: int) -> NDArray[np.float64]:
    """Logits of the best constant prediction by training targets ([n] or [n, labels]): [rows, labels].

    The shares of the classes or labels, or the mean of the numbers.
    """
    known = np.asarray(targets, np.float64)
    if problem is ProblemType.REGRESSION:
        return np.full((rows, 1), known.mean())
    if problem is ProblemType.MULTI_LABEL:
        share = (known.sum(axis=0) + 0.5) / (len(known) + 1)  # a label on every row, or none, has a logit too
        return np.tile(np.log(share) - np.log1p(-share), (rows, 1))
    counts = np.bincount(known.astype(np.int64), minlength=labels) + 0.5
    return np.tile(np.log(counts / counts.sum()), (rows, 1))


def most_frequent(tags: Sequence[Sequence[str]]) -> str:
    """The most frequent tag; of equally frequent ones the first by name."""
    counts = Counter(tag for row in tags for tag in row)
    return min(counts, key=lambda tag: (-counts[tag], tag)) if counts else ""


def constant_answer_of(answers: Sequence[str], expected: Sequence[str]) -> str:
    """The single answer of all rows although references differ, shortened for a message; else empty."""
    if len(answers) < _LEAST_ROWS or len(set(answers)) > 1 or len(set(expected)) < 2:
        return ""
    answer = answers[0] or "nothing"
    return answer if len(answer) <= _LONGEST else f"{answer[: _LONGEST - 1]}…"
