"""Rows of `spec.predict`, checked before training."""

from finetune_api.data import Columns, DataFormat
from finetune_api.failures import ColumnMissing, DataEmpty, DataUnreadable, Problem
from finetune_api.inference import FileSettings
from finetune_api.spec import Spec
from finetune_trainer.data.reading.input_files import InputFile, read_input
from finetune_trainer.data.reading.inputs import REPAIR_HINT
from finetune_trainer.data.reading.nested import dotted, with_paths
from finetune_trainer.data.reading.rows import Bad, Row, at, shown
from finetune_trainer.data.records import cell_text
from finetune_trainer.storage import Site

_FIELD = "spec.predict"
_TEXTS = ("text", "text_pair", "input", "question", "context", "prompt")
"""Roles of what a model is given, whose cells are texts."""


def check_rows(spec: Spec, columns: dict[str, str], site: Site) -> int:
    """Count the rows to predict and check that they are valid: hours later is too late.

    `columns` are those of the training rows, by role. Raises `DataNotFound` and the like, `DataUnreadable` for the
    first row that can't be used, `ColumnMissing`, and `DataEmpty`.
    """
    if spec.predict is None:
        return 0
    texts = {role: columns[_alias(role)] for role in _TEXTS if _alias(role) in columns}
    if "prompt" in texts:
        texts.pop("input", None)  # it may be empty, or missing
    rows = 0
    for row in read_input(input_of(spec), site, next(iter(texts.values()), "")):
        checked = row if isinstance(row, Bad) else _unusable(row, texts, spec)
        if checked is not None:
            raise DataUnreadable(checked.reason, where=at(checked.place), hint=REPAIR_HINT)
        rows += 1
    if not rows:
        raise DataEmpty(f"{spec.predict.input} has no row to predict", where=f"{_FIELD}.input", hint="add rows")
    return rows


def input_of(spec: Spec) -> InputFile:
    """The input file with its settings. Raises `ValueError` for a job without `spec.predict`."""
    wanted = spec.predict
    if wanted is None:
        raise ValueError(spec.predict)
    return InputFile(
        wanted.input,
        format="" if wanted.format is DataFormat.AUTO else wanted.format.value,
        encoding=wanted.encoding,
        delimiter=wanted.delimiter,
        secret_ref=wanted.secret_ref,
        field=_FIELD,
        trained=FileSettings.of(spec.data.train),
    )


def _unusable(row: Row, texts: dict[str, str], spec: Spec) -> Bad | None:
    """Reason why a text of the row is invalid; None for a valid row. Raises `ColumnMissing`."""
    row = with_paths(row, dotted(texts.values()))
    missing = [column for column in texts.values() if column not in row.values]
    if missing:
        message = f"no column {shown(missing[0])} in {row.place.file}, which the training rows have"
        hint = f"its columns are: {', '.join(list(row.values)[:20])}"
        raise ColumnMissing(Problem(message, f"{_FIELD}.input", hint))
    cells = (cell_text(row, column, spec.data.clean) for column in texts.values())
    return next((cell for cell in cells if isinstance(cell, Bad)), None)


def _alias(role: str) -> str:
    """The role as the data report names it."""
    return str(Columns.model_fields[role].alias)
