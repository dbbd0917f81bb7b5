"""`DataFile`: a local data file with its format settings and its name for messages."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune_api.data import DataFormat, DataSource, Quoting
from finetune_api.failures import DataUnreadable
from finetune_api.file_formats import ending, known_format

_PACKED = (".zip", ".7z", ".rar", ".tar", ".tgz", ".lz4")
_OTHERS = (".arrow", ".feather", ".orc", ".avro", ".pkl", ".pickle", ".npy", ".h5", ".hdf5", ".db", ".sqlite", ".rds")
_TEXTS = (".txt", ".text", ".md", ".rst")
_SHEETS = (".xlsx", ".xls", ".ods")

TellSplit = Callable[[str, str], None]
"""Takes a split that a source holds beside the one that is read, and where: a file, its key, a split on the hub."""


def tell_nobody(_split: str, _where: str) -> None:
    """A `TellSplit` that does nothing."""


@dataclass(frozen=True)
class DataFile:
    """One file of a source: a local `path`, the `name` that messages use, and the spec's `field` it came from."""

    path: Path
    name: str
    format: DataFormat
    encoding: str = "utf-8"
    delimiter: str = ""
    field: str = "spec.data.train[0]"
    quoting: Quoting = Quoting.AUTO

    place: str = ""
    """What its rows are for: `train`, `validation` or `test`; empty for all of them."""

    tell_split: TellSplit = tell_nobody
    """Takes the further splits that the file holds."""

    @property
    def has_quoting(self) -> bool:
        """Whether quoting can be set: for sources of a job and on the command line, not for `spec.predict`."""
        return self.field.endswith(("]", ">"))


def data_file(path: Path, name: str, source: DataSource, field: str) -> DataFile:
    """The data file of `source`. Raises `DataUnreadable` where neither setting nor ending gives the format."""
    form = source.format if source.format is not DataFormat.AUTO else known_format(name)
    if form is None:
        raise DataUnreadable(f"the format is not clear from the name {name}", where=name, hint=_advice(name, field))
    delimiter = source.delimiter or ("\t" if ending(name) == ".tsv" else "")
    return DataFile(path, name, form, source.encoding, delimiter, field, source.quoting)


def is_unread_table(name: str) -> bool:
    """Whether a file is an unsupported container of rows: a spreadsheet, an archive, Arrow."""
    return name.lower().endswith((*_PACKED, *_SHEETS, *_OTHERS)) or ending(name) in (".tar", *_SHEETS)


def _advice(name: str, field: str) -> str:
    if name.lower().endswith(_PACKED) or ending(name) == ".tar":
        return "unpack it first, or pack the table itself as .gz, .bz2, .xz or .zst"
    if name.lower().endswith(_SHEETS):
        return "save the sheet as CSV (UTF-8)"
    texts = (
        '; texts alone are JSONL, a line {"text": "..."} for each'
        if field.startswith("spec.") and ending(name) in _TEXTS
        else ""
    )
    return f"set {field}.format: CSV, JSONL, JSON, Parquet or CoNLL{texts}"
