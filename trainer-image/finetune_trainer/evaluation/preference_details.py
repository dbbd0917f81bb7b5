"""Samples of preference pairs: pairs ranked wrongly, and drawn ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from finetune_api.details import Sample
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.prepared import Examples
from finetune_trainer.evaluation.details import SAMPLES, TEXT_LENGTH, WORST, shorten


@dataclass(frozen=True)
class ScoredPairs:
    """Model scores of the pairs of one split."""

    rows: Examples
    ahead: NDArray[np.float64]
    """By how much each chosen answer is ahead of the rejected one, [n]."""
    losses: NDArray[np.float64]
    """Loss of each pair, [n]."""

    def worst(self) -> list[Sample]:
        """Pairs with a higher rejected score, the largest difference first."""
        order = np.argsort(self.ahead, kind="stable")
        return self.samples(int(row) for row in order[:WORST] if self.ahead[row] < 0)

    def samples(self, rows: Iterable[int]) -> list[Sample]:
        """Prompt, chosen answer, and the answer with the higher score."""
        return [self._sample(row) for row in rows]

    def _sample(self, row: int) -> Sample:
        chosen, rejected = distinguishing_parts(Answers(self.rows.labels[row]))
        return Sample(
            text=shorten(self.rows.texts[row]),
            expected=chosen,
            predicted=chosen if self.ahead[row] >= 0 else rejected,
            loss=float(self.losses[row]),
            place=self.rows.places[row],
        )


def distinguishing_parts(answers: Answers) -> tuple[str, str]:
    """Both answers, shortened; a long common prefix is left out."""
    alike = (first == second for first, second in zip(answers.chosen, answers.rejected, strict=False))
    common = sum(takewhile(bool, alike))
    start = common - TEXT_LENGTH // 4 if common > TEXT_LENGTH // 2 else 0
    lead = "... " if start else ""
    return shorten(lead + answers.chosen[start:]), shorten(lead + answers.rejected[start:])


def sampled_rows(rows: int, seed: int) -> list[int]:
    """Indices of the sampled rows, drawn with `seed`."""
    return [int(row) for row in np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLES])]


def generated_samples(
    rows: Examples, places: Sequence[int], texts: Sequence[str], before: Sequence[str]
) -> list[Sample]:
    """Sampled rows with generated texts; `texts`, and `before` of the base model, are of all rows."""
    return [
        Sample(
            text=shorten(rows.texts[row]),
            expected=shorten(Answers(rows.labels[row]).chosen),
            predicted=shorten(texts[row]),
            baseline=shorten(before[row]) if before else "",
            place=rows.places[row],
        )
        for row in places
    ]
