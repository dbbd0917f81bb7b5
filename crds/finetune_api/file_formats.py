"""Data file formats by file ending."""

from pathlib import PurePosixPath

from finetune_api.data import DataFormat

_ENDINGS = {
    ".csv": DataFormat.CSV,
    ".tsv": DataFormat.CSV,
    ".jsonl": DataFormat.JSONL,
    ".ndjson": DataFormat.JSONL,
    ".json": DataFormat.JSON,
    ".parquet": DataFormat.PARQUET,
    ".pq": DataFormat.PARQUET,
    ".conll": DataFormat.CONLL,
    ".bio": DataFormat.CONLL,
    ".iob2": DataFormat.CONLL,
    ".iob": DataFormat.CONLL,
    ".bmes": DataFormat.CONLL,
    ".conllu": DataFormat.CONLL,
    ".conllup": DataFormat.CONLL,
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def known_format(name: str) -> DataFormat | None:
    """Format by a file's ending, compression aside; None for unknown endings."""
    return _ENDINGS.get(ending(name))


def ending(name: str) -> str:
    """The ending of a file's name in lower case, without that of its compression: `.tsv` of `A.TSV.gz`."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in _COMPRESSED else path.suffix
