"""Statistics of new rows, and of the model's predictions on them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from finetune_api.data import Labels
from finetune_api.drift import DRIFT_NAME, DriftReference, DriftReport
from finetune_api.failures import DataEmpty, ModelNotFound
from finetune_api.tasks import MethodType, ProblemType
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.label_cells import UnusableLabel, is_absent
from finetune_trainer.data.labels import LabelReader
from finetune_trainer.data.reading.input_files import InputFile, read_input
from finetune_trainer.data.reading.inputs import input_name
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.running_text import running_text
from finetune_trainer.drift.compare import NewRows, compare
from finetune_trainer.drift.reference import ENOUGH
from finetune_trainer.drift.sketch import sketch
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.tuned import TunedModel, load_tuned, read_settings
from finetune_trainer.prediction import Predictor
from finetune_trainer.prediction.rows import as_trained, predictor_of, tuned_files, with_columns
from finetune_trainer.storage import Site

_ASKED = 1_000
"""Rows that the model is asked about at most."""


def measure_drift(model_uri: str, new: InputFile, site: Site, columns: Mapping[str, str]) -> DriftReport:
    """Compare the rows of a file with the training inputs of a model; invalid rows are left out.

    Raises `ModelNotFound` where the model has no statistics, `DataEmpty` where no row can be used, and what loading
    the model and reading the rows raise.
    """
    files = tuned_files(model_uri, site)
    statistics = files.folder / DRIFT_NAME
    if not statistics.is_file():
        raise _without_statistics(model_uri, files)
    reference = DriftReference.model_validate_json(statistics.read_text(encoding="utf-8"))
    tuned = with_columns(load_tuned(files), columns)
    predictor = predictor_of(tuned)
    rows = list(islice(_readable(as_trained(new, tuned), site, predictor), ENOUGH))
    if not rows:
        hint = "check that its columns are those of the training rows, or name them with --column ROLE=COLUMN"
        raise DataEmpty("no row can be used", where=input_name(new), hint=hint)
    return compare(reference, _new_rows(tuned, predictor, rows))


def _without_statistics(model_uri: str, files: ModelFiles) -> ModelNotFound:
    message, hint = (
        f"{model_uri} has no statistics of its training inputs ({DRIFT_NAME})",
        "train it again with this version: each run saves them",
    )
    if read_settings(files.folder, files.uri).method is MethodType.MERGE:
        message += ": it was merged of results that were trained on different rows"
        hint = "compare with each of them: lineage.merged in MANIFEST.json says where they are"
    return ModelNotFound(message, hint=hint)


def _readable(file: InputFile, site: Site, predictor: Predictor[Any]) -> Iterator[Row]:
    for row in read_input(file, site, predictor.line_column):
        if isinstance(row, Row) and not isinstance(predictor.read(row), Bad):
            yield row


def _new_rows(tuned: TunedModel, predictor: Predictor[Any], rows: Sequence[Row]) -> NewRows:
    roles = predictor.roles(list(rows[0].values))
    found = sketch([_text(row, roles.values(), tuned) for row in rows], tuned.tokenizer)
    if tuned.settings.problem_type is not ProblemType.SINGLE_LABEL:
        return NewRows(found)
    column = tuned.settings.columns.label or "label"
    names = tuned.settings.labels
    cells = [row.values.get(column) for row in rows]
    labels = [_label(cell, names) for cell in cells if not is_absent(cell) or cell in names]
    asked = rows[:: -(-len(rows) // _ASKED)]
    said = [answer.as_dict() for answer in predictor.predict([predictor.read(row) for row in asked])]
    return NewRows(found, labels, [answer["label"] for answer in said], [answer["score"] for answer in said])


def _label(cell: object, names: list[str]) -> str:
    """The name of a label, as in training where known."""
    try:
        return str(LabelReader(ProblemType.SINGLE_LABEL, Labels(names=names)).read(cell))
    except UnusableLabel:
        return str(cell)


def _text(row: Row, columns: Any, tuned: TunedModel) -> str:
    """The input of a row as one text, cleaned as in training."""
    parts = [_plain(row.values.get(column)) for column in dict.fromkeys(columns)]
    return "\n".join(clean_text(part, tuned.settings.clean) for part in parts if part)


def _plain(cell: object) -> str:
    """The text of a cell: words joined, messages as their contents."""
    if isinstance(cell, list | tuple):
        turns = [_said(item) if isinstance(item, dict) else str(item) for item in cell]
        return "\n".join(turns) if any(isinstance(item, dict) for item in cell) else running_text(tuple(turns))
    return "" if cell is None else str(cell)


def _said(message: dict[str, Any]) -> str:
    """The content of a message, its text parts joined; empty for pure tool calls."""
    said = message.get("content", message.get("value"))
    if isinstance(said, list | tuple):
        said = "\n".join(str(part.get("text", "")) for part in said if isinstance(part, dict))
    return "" if said is None else str(said)
