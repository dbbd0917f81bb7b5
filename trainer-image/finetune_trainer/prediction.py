"""Predictions with a tuned model: rows in, a label and scores out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from finetune_api.failures import DataEmpty, ModelNotFound
from finetune_api.inference import INFERENCE_NAME
from finetune_api.manifest import MANIFEST_NAME
from finetune_api.model import ModelSource
from finetune_api.tasks import ProblemType
from finetune_trainer.data.collate import TokenRows
from finetune_trainer.data.inputs import TextRow, input_name, read_texts
from finetune_trainer.data.tokens import tokenise
from finetune_trainer.evaluation.scores import probabilities
from finetune_trainer.models.files import fetch_model
from finetune_trainer.models.tuned import TunedModel, load_tuned
from finetune_trainer.storage import Site, open_folder
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
    pair: str = ""
    """The second text, where the model takes pairs."""

    @property
    def label_text(self) -> str:
        """The label as one string."""
        if isinstance(self.label, float):
            return f"{self.label:.4g}"
        return self.label if isinstance(self.label, str) else ", ".join(self.label) or "(none)"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what does not apply is left out."""
        content = {
            "text": self.text,
            "textPair": self.pair or None,
            "label": self.label,
            "score": self.score,
            "scores": self.scores or None,
        }
        return {key: value for key, value in content.items() if value is not None}


def predict_rows(
    model_uri: str, rows_uri: str, site: Site, columns: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Prediction]:
    """Predict all rows of a file, in their order; rows are read and predicted in parts.

    `columns` says, by role (`text`, `text_pair`), where the rows have other columns than the training rows had.
    Raises the failures of loading the model and of reading the rows, `DataEmpty` where there are none.
    """
    tuned = load_tuned(_model_folder(model_uri, site), model_uri, site)
    roles = {role: column for role, column in columns.items() if column}
    settings = tuned.settings.model_copy(update={"columns": tuned.settings.columns.model_copy(update=roles)})
    rows = read_texts(rows_uri, site, settings)
    part = list(islice(rows, _ROWS_AT_ONCE))
    if not part:
        message = "there is no row to predict"
        raise DataEmpty(message, where=input_name(rows_uri), hint="give at least one text, or a file with rows")
    while part:
        yield from predict_texts(tuned, part)
        part = list(islice(rows, _ROWS_AT_ONCE))


def predict_texts(tuned: TunedModel, rows: Iterable[TextRow]) -> Iterator[Prediction]:
    """Predict some rows at once."""
    rows = list(rows)
    pairs = [row.pair or "" for row in rows] if any(row.pair is not None for row in rows) else None
    tokens = tokenise([row.text for row in rows], pairs, tuned.tokenizer, tuned.settings.max_length)
    logits = predict_logits(tuned.model, TokenRows(tokens, tuned.tokenizer.pad_token_id))
    for row, values in zip(rows, probabilities(logits, tuned.settings.problem_type), strict=True):
        yield _prediction(row, values, tuned)


def _prediction(row: TextRow, values: "np.ndarray[Any, Any]", tuned: TunedModel) -> Prediction:
    names, pair = tuned.settings.labels, row.pair or ""
    if tuned.settings.problem_type is ProblemType.REGRESSION:
        return Prediction(row.text, float(values), pair=pair)
    scores = {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}
    if tuned.settings.problem_type is ProblemType.MULTI_LABEL:
        return Prediction(row.text, [name for name, value in scores.items() if value > _HALF], None, scores, pair)
    best = names[int(values.argmax())]
    return Prediction(row.text, best, scores[best], scores, pair)


def _model_folder(uri: str, site: Site) -> Path:
    """The folder itself, or `model/` in it where it is the output of a run that was finished."""
    folder = open_folder(uri, site, missing=ModelNotFound)
    if folder.exists(MANIFEST_NAME):
        return fetch_model(ModelSource(uri=f"{uri.rstrip('/')}/model"), site).folder
    if not folder.exists(INFERENCE_NAME):
        raise ModelNotFound(f"no tuned model at {uri}", hint=_what_is_there([path for path, _ in folder.list()]))
    return fetch_model(ModelSource(uri=uri), site).folder


def _what_is_there(paths: list[str]) -> str:
    """A hint from the files of a folder that is no model."""
    finished = sorted(path.removesuffix(f"/{MANIFEST_NAME}") for path in paths if path.endswith(f"/{MANIFEST_NAME}"))
    if finished:
        return f"finished runs in it: {', '.join(finished[-3:])}; add one to the path"
    if any(path.startswith("claims/") for path in paths):
        return "this run was not finished: it has no MANIFEST.json; its report says why"
    return "give the output folder of a run (the one with MANIFEST.json), or its model folder"
