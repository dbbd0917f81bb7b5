"""Rows to predict: texts through the same readers and the same cleaning as in training."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_api.failures import DataUnreadable, Problem
from finetune_api.inference import InferenceSettings
from finetune_api.report import Place
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.rows import Bad, Row
from finetune_trainer.data.sources import read_rows


@dataclass(frozen=True)
class TextRow:
    """One input; `pair` is None where the model takes single texts."""

    text: str
    pair: str | None
    place: Place


def read_texts(uri: str, base: Path, settings: InferenceSettings) -> Iterator[TextRow]:
    """Read the texts of a file or of standard input (`-`).

    Every input row gets an output row, so a broken one is an error: raises `DataUnreadable` with file and line,
    `ColumnMissing` where the text column is not there.
    """
    text_column = settings.columns.text or "text"
    roles = {"text": text_column}
    if settings.columns.text_pair:
        roles["text_pair"] = settings.columns.text_pair
    checked = False
    for row in read_rows(uri, base, text_column=text_column):
        if isinstance(row, Bad):
            raise DataUnreadable(Problem(row.reason, f"{row.place.file}:{row.place.line}"))
        if not checked:
            check_columns(roles, row.values, row.place.file)
            checked = True
        yield _text_row(row, roles, settings)


def _text_row(row: Row, roles: dict[str, str], settings: InferenceSettings) -> TextRow:
    pair = roles.get("text_pair")
    return TextRow(
        clean_text(_cell(row, roles["text"]), settings.clean),
        clean_text(_cell(row, pair), settings.clean) if pair else None,
        row.place,
    )


def _cell(row: Row, column: str) -> str:
    value = row.values.get(column)
    return "" if value is None else str(value)
