"""`SequenceClassification`: a label, labels or a number per text (or pair of texts)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from finetune_api.tasks import ProblemType
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.data.tokenising.tokens import tokenise
from finetune_trainer.evaluation.scores import probabilities
from finetune_trainer.training.inference import predict_logits

if TYPE_CHECKING:
    import numpy as np

    from finetune_trainer.models.tuned import TunedModel

_HALF = 0.5


@dataclass(frozen=True)
class ClassifiedText:
    """Prediction for one text."""

    text: str
    label: str | list[str] | float
    """Name of the label, names of all labels above one half (MultiLabel), or the number (Regression)."""
    score: float | None = None
    """Probability of the label; None for numbers and lists."""
    scores: dict[str, float] = field(default_factory=dict)
    """Probability of every label."""
    pair: str = ""
    """The second text, where the model takes pairs."""

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        content = {
            "text": self.text,
            "textPair": self.pair or None,
            "label": self.label,
            "score": self.score,
            "scores": self.scores or None,
        }
        return {key: value for key, value in content.items() if value is not None}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: `score.<label>` per label; several labels joined by a bar."""
        flat = {key: value for key, value in self.as_dict().items() if key != "scores"}
        if isinstance(self.label, list):
            flat["label"] = "|".join(self.label)
        return flat | {f"score.{label}": f"{score:.6f}" for label, score in self.scores.items()}

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        score, following = self._ranked() if self.scores else ("", "")
        return {"text": self.text, "pair": self.pair, "label": self._label_text, "score": score, "next": following}

    @property
    def _label_text(self) -> str:
        if isinstance(self.label, float):
            return f"{self.label:.4g}"
        return self.label if isinstance(self.label, str) else ", ".join(self.label) or "(none)"

    def _ranked(self) -> tuple[str, str]:
        """Probability of the label (the least of several), and the runner-up."""
        chosen = self.label if isinstance(self.label, list) else [str(self.label)]
        score = min((self.scores[label] for label in chosen), default=None)
        others = sorted(self.scores.items(), key=lambda item: -item[1])
        following = next((f"{label} {value:.2f}" for label, value in others if label not in chosen), "")
        return (f"{score:.2f}" if score is not None else ""), following


class SequenceClassificationPredictor:
    """A fine-tuned text classifier."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, columns = tuned, tuned.settings.columns
        self._roles = {"text": columns.text or "text"}
        if columns.text_pair:
            self._roles["text_pair"] = columns.text_pair

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`."""
        return self._roles["text"]

    def roles(self, _found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`."""
        return self._roles

    def read(self, row: Row) -> tuple[str, str | None] | Bad:
        """See `Predictor.read`: text and pair."""
        cells = {role: cell_text(row, column, self._tuned.settings.clean) for role, column in self._roles.items()}
        bad = next((cell for cell in cells.values() if isinstance(cell, Bad)), None)
        texts = {role: cell for role, cell in cells.items() if isinstance(cell, str)}
        return bad or (texts["text"], texts.get("text_pair"))

    def predict(self, rows: Sequence[tuple[str, str | None]]) -> Iterator[ClassifiedText]:
        """See `Predictor.predict`."""
        tuned = self._tuned
        pairs = [pair or "" for _, pair in rows] if "text_pair" in self._roles else None
        tokenizer = text_tokenizer(tuned.tokenizer, split=tuned.settings.split_special_tokens)
        tokens = tokenise([text for text, _ in rows], pairs, tokenizer, tuned.settings.max_length)
        logits = predict_logits(tuned.model, TokenRows(tokens, tuned.tokenizer.pad_token_id))
        for row, values in zip(rows, probabilities(logits, tuned.settings.problem_type), strict=True):
            yield self._prediction(row[0], row[1] or "", values)

    def _prediction(self, text: str, pair: str, values: "np.ndarray[Any, Any]") -> ClassifiedText:
        names, problem = self._tuned.settings.labels, self._tuned.settings.problem_type
        if problem is ProblemType.REGRESSION:
            return ClassifiedText(text, float(values), pair=pair)
        scores = {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
        if problem is ProblemType.MULTI_LABEL:
            return ClassifiedText(text, [name for name, value in scores.items() if value > _HALF], None, scores, pair)
        best = names[int(values.argmax())]
        return ClassifiedText(text, best, scores[best], scores, pair)
