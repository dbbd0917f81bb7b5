"""Scores of two answers in columns beside them: `chosen_score`, `score_rejected`. Pure."""

from collections.abc import Iterator, Mapping

from finetune_trainer.data.label_cells import UnusableLabel, number

_WORDS = ("score", "rating", "reward")


def score_margin(values: Mapping[str, object], chosen: str, rejected: str) -> float | None:
    """Score of the answer in column `chosen` minus that of `rejected`; None without both."""
    for first, second in zip(_names(chosen), _names(rejected), strict=True):
        if first in values and second in values:
            try:
                return number(values[first]) - number(values[second])
            except UnusableLabel:
                return None
    return None


def _names(answer: str) -> Iterator[str]:
    for word in _WORDS:
        for sign in "_-":
            yield f"{answer}{sign}{word}"
            yield f"{word}{sign}{answer}"
