"""Prediction inputs, through the readers of training; the predictor says what a row must hold."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from finetune_api.failures import ColumnMissing, DataUnreadable, Problem
from finetune_trainer.data.columns import suggest
from finetune_trainer.data.reading.input_files import LINES, InputFile, read_input
from finetune_trainer.data.reading.nested import dotted, with_paths
from finetune_trainer.data.reading.rows import Bad, Row, at, shown
from finetune_trainer.data.reading.stdin_rows import STDIN
from finetune_trainer.storage import Site

InputRow_co = TypeVar("InputRow_co", covariant=True)
_WITH_OPTION = ("text", "text_pair")


class InputShape(Protocol[InputRow_co]):
    """Row format of one model; the reading part of `Predictor`."""

    @property
    def line_column(self) -> str:
        """Column name of a bare line of text on standard input."""

    def roles(self, found: Sequence[str]) -> Mapping[str, str]:
        """Required columns by role, for an input with the columns `found`."""

    def read(self, row: Row) -> InputRow_co | Bad:
        """The model's input from a row, or the reason the row is invalid."""


def read_inputs(file: InputFile, site: Site, shape: InputShape[InputRow_co]) -> Iterator[InputRow_co]:
    """Read the rows of a file or of standard input.

    Every input row gets an output row, so a broken one is an error: raises `DataUnreadable` with file and line,
    `ColumnMissing` where a column is not there.
    """
    checked = False
    for read in read_input(file, site, shape.line_column):
        if isinstance(read, Bad):
            raise _unreadable(read)
        row = with_paths(read, dotted(shape.roles(list(read.values)).values()))
        if not checked:
            found = list(row.values)
            _check_columns(shape.roles(found), found, row.place.file)
            checked = True
        result = shape.read(row)
        if isinstance(result, Bad):
            raise _unreadable(result)
        yield result


def input_name(file: InputFile) -> str:
    """How messages call an input."""
    return "standard input" if file.uri == STDIN else file.uri.removeprefix("file://")


def _check_columns(roles: Mapping[str, str], found: list[str], file: str) -> None:
    problems = []
    for role, column in roles.items():
        if column not in found:
            better = suggest(role, column, [name for name in found if name not in roles.values()])
            message = f"no column {shown(column)}, which the model was trained on; there are: {', '.join(found[:20])}"
            hint = f"say which it is: {_option(role, better or 'COLUMN')}"
            problems.append(Problem(message, file, hint))
    if problems:
        raise ColumnMissing(*problems)


def _option(role: str, column: str) -> str:
    """The option of the command line that names the column of a role."""
    return f"--{role.replace('_', '-')} {column}" if role in _WITH_OPTION else f"--column {role}={column}"


def _unreadable(bad: Bad) -> DataUnreadable:
    lines = f"; if these are texts, one per line: --input-format {LINES}" if bad.kind in _NOT_TEXTS else ""
    return DataUnreadable(bad.reason, where=at(bad.place), hint=f"{REPAIR_HINT}{lines}")


_NOT_TEXTS = ("broken JSON", "not a JSON object")
REPAIR_HINT = "repair or remove the row: each row of the input gets one prediction"
