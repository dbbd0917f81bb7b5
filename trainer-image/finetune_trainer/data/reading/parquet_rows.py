"""Parquet files, batch by batch."""

from collections.abc import Iterator

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row

_BATCH = 1024


def read_parquet(file: DataFile) -> Iterator[Row | Bad]:
    """Read a Parquet file; rows are numbered from 1. Raises `DataUnreadable` where it is none or damaged."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(file.path) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, Place(file=file.name, line=number))
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(
            f"not a whole Parquet file: {str(error).splitlines()[0]}",
            where=f"{file.name}:{number + 1}" if number else file.name,
            hint=f"write it again, or set {file.field}.format if it is something else",
        ) from None
