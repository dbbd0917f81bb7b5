"""Details beyond metrics: confusion matrix, worst errors, samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from finetune_api.data_report import Place
from finetune_api.details import Details, Sample
from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.calibration import decisions, reliability
from finetune_trainer.evaluation.classification import class_rows
from finetune_trainer.evaluation.label_noise import suspect_rows
from finetune_trainer.evaluation.scores import Array, Scored, predictions

WORST, SAMPLES, SCATTER, SUSPECTS = 20, 20, 500, 50
TEXT_LENGTH = 400


@dataclass(frozen=True)
class Inputs:
    """Model inputs, one entry per row. `pairs` and `places` may be empty."""

    texts: Sequence[str]
    pairs: Sequence[str] = ()
    places: Sequence[Place] = ()


def describe(
    scored: Scored, inputs: Inputs, baseline_logits: Array | None = None, seed: int = 0, *, held_out: bool = True
) -> Details:
    """Build the details of one model on one split.

    Args:
        scored: The tuned model's logits with targets and label names.
        inputs: The rows behind them, in the same order.
        baseline_logits: The base model's logits for the same rows, or None.
        seed: Decides which rows are drawn as samples.
        held_out: Whether the model has not learned these rows, so that its doubts about their labels say something.
    """
    random = np.random.default_rng(seed)
    build = _SampleBuilder(scored, inputs, baseline_logits)
    drawn = random.permutation(scored.rows)
    details = Details(
        worst=[build(row) for row in _worst_rows(scored)[:WORST]],
        samples=[build(row) for row in np.sort(drawn[:SAMPLES])],
    )
    if scored.problem is ProblemType.REGRESSION:
        rows = np.sort(drawn[:SCATTER])
        points = zip(scored.truth[rows], scored.predictions[rows], strict=True)
        return details.model_copy(update={"scatter": [(float(true), float(guess)) for true, guess in points]})
    suspects = suspect_rows(scored) if held_out else np.empty(0, np.int64)
    figures = {
        "suspects": [build(row) for row in suspects[:SUSPECTS]],
        "suspect_rows": len(suspects),
        "confusion": _confusion(scored),
        "classes": class_rows(scored),
        "reliability": reliability(*decisions(scored)),
    }
    return details.model_copy(update=figures)


def _confusion(scored: Scored) -> list[list[int]]:
    if scored.problem is not ProblemType.SINGLE_LABEL or not scored.rows:
        return []
    counts = confusion_matrix(scored.truth, scored.predictions, labels=np.arange(len(scored.names)))
    return [[int(count) for count in row] for row in counts]


def _worst_rows(scored: Scored) -> Array:
    """Row indices: errors first, each group by falling loss."""
    if scored.problem is ProblemType.REGRESSION:
        return np.argsort(-scored.losses, kind="stable")
    same = scored.predictions == scored.truth
    right = same if same.ndim == 1 else same.all(axis=1)
    return np.lexsort((-scored.losses, right))


@dataclass(frozen=True)
class _SampleBuilder:
    scored: Scored
    inputs: Inputs
    baseline_logits: Array | None

    def __call__(self, row: int) -> Sample:
        scored, inputs = self.scored, self.inputs
        pair = inputs.pairs[row] if inputs.pairs else ""
        return Sample(
            text=shorten(inputs.texts[row]),
            pair=shorten(pair),
            expected=self._words(scored.truth[row]),
            predicted=self._words(scored.predictions[row]),
            baseline=self._baseline(row),
            confidence=self._confidence(row),
            loss=float(scored.losses[row]),
            place=inputs.places[row] if inputs.places else None,
        )

    def _baseline(self, row: int) -> str:
        if self.baseline_logits is None:
            return ""
        return self._words(predictions(self.baseline_logits[row : row + 1], self.scored.problem)[0])

    def _confidence(self, row: int) -> float | None:
        """Probability of the class, or of exactly this label set under independence."""
        chances = self.scored.probabilities[row]
        if self.scored.problem is ProblemType.REGRESSION:
            return None
        if self.scored.problem is ProblemType.MULTI_LABEL:
            return float(np.maximum(chances, 1 - chances).prod())
        return float(chances.max())

    def _words(self, answer: Array) -> str:
        names = self.scored.names
        if self.scored.problem is ProblemType.REGRESSION:
            return f"{float(answer):.4g}"
        if self.scored.problem is ProblemType.MULTI_LABEL:
            return ", ".join(names[int(label)] for label in np.flatnonzero(answer)) or "no label"
        return names[int(answer)]


def shorten(text: str, length: int = TEXT_LENGTH) -> str:
    """Truncate a text at a word boundary with a mark; at most `length` characters and the mark."""
    if len(text) <= length:
        return text
    head = text[: length + 1]
    cut = max(head.rfind(" "), head.rfind("\n"))
    return head[: cut if cut > length // 2 else length].rstrip() + " …"
