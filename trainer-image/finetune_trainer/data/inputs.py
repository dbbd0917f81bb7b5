"""Rows to predict: texts through the same readers and the same cleaning as in training."""

from collections.abc import Iterator
from dataclasses import dataclass

from finetune_api.failures import ColumnMissing, DataUnreadable, Problem
from finetune_api.inference import InferenceSettings
from finetune_api.report import Place
from finetune_trainer.data.columns import suggest
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.rows import Bad, Row, at, shown
from finetune_trainer.data.sources import STDIN, read_rows
from finetune_trainer.storage import Site


@dataclass(frozen=True)
class TextRow:
    """One input; `pair` is None where the model takes single texts."""

    text: str
    pair: str | None
    place: Place


def read_texts(uri: str, site: Site, settings: InferenceSettings) -> Iterator[TextRow]:
    """Read the texts of a file or of standard input (`-`).

    Every input row gets an output row, so a broken one is an error: raises `DataUnreadable` with file and line,
    `ColumnMissing` where a text column is not there.
    """
    roles = {"text": settings.columns.text or "text"}
    if settings.columns.text_pair:
        roles["text_pair"] = settings.columns.text_pair
    checked = False
    for row in read_rows(uri, site, text_column=roles["text"]):
        if isinstance(row, Bad):
            raise _unreadable(row)
        if not checked:
            _check_columns(roles, list(row.values), row.place.file)
            checked = True
        yield _text_row(row, roles, settings)


def input_name(uri: str) -> str:
    """How messages call an input."""
    return "standard input" if uri == STDIN else uri.removeprefix("file://")


def _check_columns(roles: dict[str, str], found: list[str], file: str) -> None:
    problems = []
    for role, column in roles.items():
        if column not in found:
            better = suggest(role, column, [name for name in found if name not in roles.values()])
            message = f"no column {shown(column)}, which the model was trained on; there are: {', '.join(found[:20])}"
            hint = f"say which it is: --{_option(role)} {better or 'COLUMN'}"
            problems.append(Problem(message, file, hint))
    if problems:
        raise ColumnMissing(*problems)


def _option(role: str) -> str:
    """The option of the command line that names the column of a role."""
    return role.replace("_", "-")


def _text_row(row: Row, roles: dict[str, str], settings: InferenceSettings) -> TextRow:
    cells = {role: cell_text(row, column, settings.clean) for role, column in roles.items()}
    texts = {role: _text(cell) for role, cell in cells.items()}
    return TextRow(texts["text"], texts.get("text_pair"), row.place)


def _text(cell: str | Bad) -> str:
    if isinstance(cell, Bad):
        raise _unreadable(cell)
    return cell


def _unreadable(bad: Bad) -> DataUnreadable:
    return DataUnreadable(bad.reason, where=at(bad.place), hint=_REPAIR_HINT)


_REPAIR_HINT = "repair or remove the row: each row of the input gets one prediction"
