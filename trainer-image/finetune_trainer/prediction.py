"""Predictions with a tuned model: rows in, a label and scores out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from finetune_api.failures import ModelNotFound
from finetune_api.manifest import MANIFEST_NAME
from finetune_api.model import ModelSource
from finetune_api.tasks import ProblemType
from finetune_trainer.data.collate import TokenRows
from finetune_trainer.data.inputs import TextRow, read_texts
from finetune_trainer.data.tokens import tokenise
from finetune_trainer.evaluation.scores import probabilities
from finetune_trainer.models.files import fetch_model
from finetune_trainer.models.tuned import TunedModel, load_tuned
from finetune_trainer.storage import open_folder
from finetune_trainer.training.inference import predict_logits

_ROWS_AT_ONCE = 1_024
_HALF = 0.5


@dataclass(frozen=True)
class Prediction:
    """What the model says of one row."""

    text: str
    label: str | list[str] | float
    """Name of the label, names of all labels above one half (MultiLabel), or the number (Regression)."""
    score: float | None = None
    """Probability of the label; None for numbers and lists."""
    scores: dict[str, float] = field(default_factory=dict)
    """Probability of every label."""

    @property
    def label_text(self) -> str:
        """The label as one string."""
        if isinstance(self.label, float):
            return f"{self.label:.4g}"
        return self.label if isinstance(self.label, str) else ", ".join(self.label) or "(none)"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what does not apply is left out."""
        content = {"text": self.text, "label": self.label, "score": self.score, "scores": self.scores}
        return {key: value for key, value in content.items() if value is not None and value != {}}


def predict_rows(model_uri: str, rows_uri: str, base: Path) -> Iterator[Prediction]:
    """Predict all rows of a file, in their order; rows are read and predicted in parts.

    Raises the failures of loading the model and of reading the rows.
    """
    tuned = load_tuned(_model_folder(model_uri, base), model_uri, base)
    rows = read_texts(rows_uri, base, tuned.settings)
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        yield from predict_texts(tuned, part)


def predict_texts(tuned: TunedModel, rows: Iterable[TextRow]) -> Iterator[Prediction]:
    """Predict some rows at once."""
    rows = list(rows)
    pairs = [row.pair or "" for row in rows] if any(row.pair is not None for row in rows) else None
    tokens = tokenise([row.text for row in rows], pairs, tuned.tokenizer, tuned.settings.max_length)
    logits = predict_logits(tuned.model, TokenRows(tokens, tuned.tokenizer.pad_token_id))
    for row, values in zip(rows, probabilities(logits, tuned.settings.problem_type), strict=True):
        yield _prediction(row.text, values, tuned)


def _prediction(text: str, values: "np.ndarray[Any, Any]", tuned: TunedModel) -> Prediction:
    names = tuned.settings.labels
    if tuned.settings.problem_type is ProblemType.REGRESSION:
        return Prediction(text, float(values))
    scores = {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
    if tuned.settings.problem_type is ProblemType.MULTI_LABEL:
        return Prediction(text, [name for name, value in scores.items() if value > _HALF], None, scores)
    best = names[int(values.argmax())]
    return Prediction(text, best, scores[best], scores)


def _model_folder(uri: str, base: Path) -> Path:
    """The folder itself, or `model/` in it where it is the output of a run."""
    is_output = open_folder(uri, base, missing=ModelNotFound).exists(MANIFEST_NAME)
    return fetch_model(ModelSource(uri=f"{uri.rstrip('/')}/model" if is_output else uri), base).folder
