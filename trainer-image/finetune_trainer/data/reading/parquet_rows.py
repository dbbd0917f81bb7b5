"""Parquet files, read in batches."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.class_names import named, parquet_features, unpackers
from finetune_trainer.data.reading.file_kinds import known_kind
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, shown

_BATCH = 1024
_PEEK = 512


def read_parquet(file: DataFile) -> Iterator[Row | Bad]:
    """Read a Parquet file; rows are numbered from 1, class ids become the names in its metadata.

    Raises `DataUnreadable` where it is none or damaged, and where a name is given to two columns.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    _check_kind(file)
    number = 0
    try:
        with ParquetFile(file.path) as table:
            _check_names(table.schema_arrow, file)
            unpack = unpackers(parquet_features(table.schema_arrow.metadata))
            for batch in table.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(named(values, unpack) if unpack else values, Place(file=file.name, line=number))
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(
            f"not a whole Parquet file: {str(error).splitlines()[0]}",
            where=f"{file.name}:{number + 1}" if number else file.name,
            hint=f"write it again, or set {file.field}.format if it is something else",
        ) from None


def _check_kind(file: DataFile) -> None:
    with file.path.open("rb") as content:
        start = content.read(_PEEK)
    kind = None if start.startswith(b"PAR1") else known_kind(start)
    if kind is not None:
        raise DataUnreadable(
            f"this is {kind.name}, not a Parquet file", where=file.name, hint=kind.hint.format(field=file.field)
        )


def _check_names(schema: Any, file: DataFile) -> None:
    twice = next(_twice(schema), None)
    if twice is not None:
        raise DataUnreadable(
            f"the schema names column {shown(twice)} twice", where=file.name, hint="rename one of them"
        )


def _twice(fields: Iterable[Any], path: str = "") -> Iterator[str]:
    """Duplicate field names of a schema or of a struct in it."""
    found = list(fields)
    yield from (path + name for name, count in Counter(field.name for field in found).items() if count > 1)
    for field in found:
        inner = [field.type.field(number) for number in range(field.type.num_fields)]
        yield from _twice(inner, f"{path}{field.name}.")
