"""Files to predict: read by explicit settings, else by ending and training settings."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from finetune_api.base import SecretReference
from finetune_api.data import DataFormat, DataSource, Quoting
from finetune_api.failures import DataUnreadable, JobFailure, Problem
from finetune_api.file_formats import known_format
from finetune_api.inference import FileSettings
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.sources import HUB, read_rows, reader_of, source_files
from finetune_trainer.data.reading.stdin_rows import STDIN, read_lines, read_stream, spool
from finetune_trainer.storage import Site

LINES = "Lines"
"""The format of one text per line, beside those of `DataFormat`."""
_FIELD = "<input>"  # what readers name in their hints; replaced by the options of the command line
_SETTING = re.compile(rf"((?:set )?){_FIELD}\.(\w+):?")
_OPTIONS = {"format": "--input-format"}


_AS_FOUND = FileSettings()


@dataclass(frozen=True)
class InputFile:
    """A file, folder or data set to predict, or standard input (`-`)."""

    uri: str
    format: str = ""
    """Name of a `DataFormat`, or `LINES`; empty goes by the ending, then by training."""
    encoding: str = ""
    """Empty is UTF-8, or what training used where the file is not UTF-8."""
    delimiter: str = ""
    """Empty is found from the header, or what training used where that does not show the columns."""
    quoting: Quoting = Quoting.AUTO
    """What quotes are in a CSV file; `Auto` is found from it."""
    split: str = ""
    """Split of a data set on the hub; empty is that for training, or the only one."""
    subset: str = ""
    revision: str = ""
    secret_ref: SecretReference | None = None
    field: str = ""
    """Path of the block in the spec that has these settings; empty for the options of a command."""
    trained: FileSettings = _AS_FOUND
    """How the training files were read."""


def read_input(file: InputFile, site: Site, text_column: str) -> Iterator[Row | Bad]:
    """Read the rows of an input. Raises as `read_rows` does; hints name the options of the command line."""
    with TemporaryDirectory(prefix="finetune-input-") as scratch, _as_options(file):
        piped = spool(Path(scratch)) if file.uri == STDIN else None

        def rows(wanted: InputFile) -> Iterator[Row | Bad]:
            if piped is None:
                return _file_rows(wanted, site, text_column)
            found = replace(piped, delimiter=wanted.delimiter, field=wanted.field or _FIELD)
            found = replace(found, encoding=wanted.encoding or "utf-8", quoting=wanted.quoting)
            if wanted.format == LINES:
                return read_lines(found, text_column)
            if wanted.format:
                return reader_of(DataFormat(wanted.format))(replace(found, format=DataFormat(wanted.format)))
            return read_stream(found, text_column)

        yield from _in_its_encoding(file, lambda wanted: _by_its_delimiter(wanted, rows, text_column))


def _file_rows(file: InputFile, site: Site, text_column: str) -> Iterator[Row | Bad]:
    name, form = file.uri.rstrip("/"), file.format
    if not form and known_format(name) is None and not _is_several(file.uri):
        form = "" if file.trained.format is DataFormat.AUTO else file.trained.format.value
    source = DataSource(
        uri=file.uri,
        format=DataFormat.AUTO if form in ("", LINES) else DataFormat(form),
        encoding=file.encoding or "utf-8",
        delimiter=file.delimiter,
        quoting=file.quoting,
        split=file.split,
        subset=file.subset,
        revision=file.revision,
        secret_ref=file.secret_ref,
    )
    where = file.field or _FIELD
    if form != LINES:
        yield from read_rows(source, site, field=where, text_column=text_column)
        return
    for found in source_files(source.model_copy(update={"format": DataFormat.CSV}), site, where):
        yield from read_lines(found, text_column)


def _is_several(uri: str) -> bool:
    """Whether an input is a folder or a data set, whose files have their own endings."""
    with suppress(OSError):  # a name that is too long
        return uri.startswith(HUB) or uri.endswith("/") or Path(uri.removeprefix("file://")).is_dir()
    return False


def _in_its_encoding(file: InputFile, read: Callable[[InputFile], Iterator[Row | Bad]]) -> Iterator[Row | Bad]:
    """Rows as UTF-8, falling back to the encoding of the training files at the first undecodable row.

    What came before it is the same in both.
    """
    done = 0
    try:
        for row in read(file):
            yield row
            done += 1
    except DataUnreadable as failure:
        if file.encoding or not file.trained.encoding:
            raise
        again = islice(read(replace(file, encoding=file.trained.encoding)), done, None)
        try:
            first = next(again, None)
        except JobFailure:
            raise failure from None
        yield from chain([] if first is None else [first], again)


def _by_its_delimiter(
    file: InputFile, read: Callable[[InputFile], Iterator[Row | Bad]], text_column: str
) -> Iterator[Row | Bad]:
    """Rows by the header's delimiter, falling back to that of the training files without a text column."""
    rows = read(file)
    first = next(rows, None)
    trained = file.trained.delimiter
    if trained and not file.delimiter and isinstance(first, Row) and text_column not in first.values:
        again = read(replace(file, delimiter=trained))
        other = next(again, None)
        if isinstance(other, Row) and text_column in other.values:
            first, rows = other, again
    yield from chain([] if first is None else [first], rows)


@contextmanager
def _as_options(file: InputFile) -> Iterator[None]:
    """Convert field names of failures into options of the command line."""
    try:
        yield
    except JobFailure as failure:
        if file.field:
            raise
        problems = (
            Problem(problem.message, _named(problem.where), _named(problem.hint)) for problem in failure.problems
        )
        raise type(failure)(*problems) from failure


def _named(text: str) -> str:
    text = text.replace("Parquet or CoNLL", f"Parquet, CoNLL, or {LINES} for one text per line")
    return _SETTING.sub(lambda found: ("give " if found[1] else "") + _OPTIONS.get(found[2], f"--{found[2]}"), text)
