"""`finetune-trainer predict`: reads rows, predicts and writes."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from finetune_api.data import Columns, DataFormat, DataSource, Quoting
from finetune_api.failures import OutputNotWritable, Problem, SpecInvalid
from finetune_trainer.cli.run_command import as_uri
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.cli.tables import WRITERS

if TYPE_CHECKING:
    from finetune_trainer.data.reading.input_files import InputFile
    from finetune_trainer.prediction import Prediction

_STDIN = "-"
INPUT_FORMATS = [*(form.value for form in DataFormat if form is not DataFormat.AUTO), "Lines"]
"""Formats of inputs: those of training files, and one text per line."""
_UNFINISHED = ".part"


@dataclass(frozen=True)
class Input:
    """The rows to predict, by the options of the command line."""

    rows: str
    """A path, a URI, or `-`."""
    columns: dict[str, str]
    """Columns by role, where the input names them otherwise than the training rows."""
    format: str = ""
    encoding: str = ""
    delimiter: str = ""
    quoting: str = ""
    split: str = ""
    subset: str = ""
    revision: str = ""


def predict_command(model: str, given: Input, form: str, output: Path | None) -> None:
    """Predict and write.

    Raises the failures of reading the model and the rows, `OutputNotWritable` for a file that can't be written.
    """
    kind = _format(form, output)
    check_format(given.format)
    _check_hub(given)
    if given.rows == _STDIN and sys.stdin.isatty():
        sys.stderr.write("reading texts from the terminal, one per line; Ctrl-D ends\n")
    silence_libraries()
    from finetune_trainer.prediction.rows import predict_rows
    from finetune_trainer.storage import Site

    predictions = predict_rows(as_uri(model), input_file(given), Site(Path.cwd()), given.columns)
    with _target(output, predictions) as (stream, found):
        WRITERS[kind](found, stream)


def input_file(given: Input) -> "InputFile":
    """The input as the readers take it."""
    from finetune_trainer.data.reading.input_files import InputFile

    uri = given.rows if given.rows == _STDIN else as_uri(given.rows)
    _check_hub(given)
    return InputFile(
        uri,
        format=check_format(given.format),
        encoding=given.encoding,
        delimiter=given.delimiter.replace("\\t", "\t"),
        quoting=_quoting(given.quoting),
        split=given.split,
        subset=given.subset,
        revision=given.revision,
    )


def _check_hub(given: Input) -> None:
    """Raise `SpecInvalid` for settings that only hub data sets have, by the rule of a job's sources."""
    named = [name for name in ("split", "subset", "revision") if getattr(given, name)]
    if named and not given.rows.startswith("hf://"):
        message, _, hint = DataSource.rules[0].message.partition("; ")
        raise SpecInvalid(Problem(f"{message} (given {given.rows})", f"--{named[0]}", hint))


def _quoting(given: str) -> Quoting:
    known = {one.value.casefold(): one for one in Quoting}
    if given and given.casefold() not in known:
        message, hint = f"{given!r} is not a kind of quotes", f"use one of {', '.join(one.value for one in Quoting)}"
        raise SpecInvalid(Problem(message, "--quoting", hint))
    return known[given.casefold()] if given else Quoting.AUTO


def check_format(form: str) -> str:
    """The input format of that name, case-insensitively. Raises `SpecInvalid` for unknown names."""
    known = {name.casefold(): name for name in INPUT_FORMATS}
    if form.casefold() not in {"", *known}:
        hint = f"use one of {', '.join(INPUT_FORMATS)}; {INPUT_FORMATS[-1]} is one text per line"
        raise SpecInvalid(Problem(f"{form!r} is not a format of inputs", "--input-format", hint))
    return known.get(form.casefold(), "")


def columns_by_role(given: list[str]) -> dict[str, str]:
    """Columns from `ROLE=COLUMN` options. Raises `SpecInvalid` for anything else."""
    by_alias = {str(field.alias): role for role, field in Columns.model_fields.items() if role != "labels"}
    columns = {}
    for assignment in given:
        role, equals, column = assignment.partition("=")
        if not (equals and column and (role in by_alias or role in by_alias.values())):
            message, hint = f"{assignment!r} is not ROLE=COLUMN", f"roles: {', '.join(by_alias)}"
            raise SpecInvalid(Problem(message, "--column", hint))
        columns[by_alias.get(role, role)] = column
    return columns


def _format(form: str, output: Path | None) -> str:
    """The requested format, else that of the file's ending, else a table on terminals and JSON lines elsewhere."""
    if form and form not in WRITERS:
        hint = f"use one of {', '.join(WRITERS)}"
        raise SpecInvalid(Problem(f"{form!r} is not a format of predictions", "--format", hint))
    if form:
        return form
    if output is not None:
        return "csv" if output.suffix.lower() == ".csv" else "jsonl"
    return "table" if sys.stdout.isatty() else "jsonl"


@contextmanager
def _target(
    output: Path | None, predictions: Iterator["Prediction"]
) -> Iterator[tuple[TextIO, Iterable["Prediction"]]]:
    """Output stream and format. A file is created with the first row and renamed when complete."""
    first = next(predictions)
    found = _chained(first, predictions)
    if output is None:
        yield sys.stdout, found
        return
    with _written(output) as file:
        yield file, found


@contextmanager
def _written(output: Path) -> Iterator[TextIO]:
    is_device = output.exists() and not output.is_file()  # /dev/null must stay what it is
    target = output if is_device else output.with_name(output.name + _UNFINISHED)
    try:
        with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
        if not is_device:
            target.replace(output)
    except OSError as error:
        message = f"{output} can't be written: {error.strerror or error}"
        hint = "check the folder, who may write there, and the room left"
        raise OutputNotWritable(message, where="--output", hint=hint) from error
    finally:
        if not is_device:
            target.unlink(missing_ok=True)


def _chained(first: "Prediction", rest: Iterator["Prediction"]) -> Iterator["Prediction"]:
    yield first
    yield from rest
