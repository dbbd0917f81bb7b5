"""From a `DataSource` to rows: finds the files, fetches what is remote, and picks the reader."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from finetune_api.data import DataFormat, DataSource
from finetune_api.failures import DataNotFound
from finetune_trainer.data.csv_rows import read_csv
from finetune_trainer.data.files import DataFile, data_file, known_format
from finetune_trainer.data.json_rows import read_json, read_jsonl
from finetune_trainer.data.parquet_rows import read_parquet
from finetune_trainer.data.rows import Bad, Row
from finetune_trainer.data.stdin_rows import read_stream
from finetune_trainer.storage import Address, Folder, open_folder, parse_address

Credentials = Mapping[str, str] | None
HUB = "hf://"
STDIN = "-"
_READERS: dict[DataFormat, Callable[[DataFile], Iterator[Row | Bad]]] = {
    DataFormat.CSV: read_csv,
    DataFormat.JSONL: read_jsonl,
    DataFormat.JSON: read_json,
    DataFormat.PARQUET: read_parquet,
}


def read_rows(
    source: DataSource | str,
    base: Path,
    *,
    place: str = "train",
    field: str = "",
    text_column: str = "text",
    credentials: Credentials = None,
) -> Iterator[Row | Bad]:
    """Read the rows of `source`: a `DataSource`, a URI, or `-` for standard input.

    `base` is what relative `file://` paths start from; `place` (train, validation or test) picks the split of a hub
    data set that names none; `field` is the path of the source in the spec, for messages. On standard input, lines
    that are neither JSON nor CSV with a column `text_column` are texts themselves. Records that can't be used come
    out as `Bad`.

    Raises `DataNotFound`, `DataUnreadable`, `PermissionDenied`, `StorageUnavailable` or `SpecInvalid`.
    """
    with ExitStack() as stack:
        scratch = partial(_scratch, stack)
        if source == STDIN:
            yield from read_stream(_spooled(scratch()), text_column)
            return
        wanted = DataSource(uri=source) if isinstance(source, str) else source
        if wanted.uri.startswith(HUB):
            yield from _hub_rows(wanted, place, field)
            return
        for file in _files(wanted, base, field, credentials, scratch):
            yield from _READERS[file.format](file)


def _hub_rows(source: DataSource, place: str, field: str) -> Iterator[Row | Bad]:
    from finetune_trainer.data import hub_rows

    wanted = hub_rows.parse_hub_uri(source.uri)
    if not wanted.file:
        yield from hub_rows.read_data_set(wanted.repository, source, place, field)
        return
    path = hub_rows.fetch_file(wanted, source.revision, field)
    file = data_file(path, source.uri, source, field)
    yield from _READERS[file.format](file)


def _files(
    source: DataSource, base: Path, field: str, credentials: Credentials, scratch: Callable[[], Path]
) -> Iterator[DataFile]:
    """Find the files of a storage URI, in order of their names; each is fetched when its turn comes."""
    address = parse_address(source.uri, base)
    whole_folder = source.uri.endswith("/") or (address.local is not None and address.local.is_dir())
    top = address if whole_folder else address.parent
    folder = open_folder(str(top), base, credentials)
    for path in _known_files(folder, source) if whole_folder else [address.name]:
        name = _name(top, path, base)
        described = data_file(Path(path), name, source, field)  # before a download that would be in vain
        yield replace(described, path=folder.fetch(path, scratch()))


def _known_files(folder: Folder, source: DataSource) -> list[str]:
    found = [path for path, _ in folder.list() if not PurePosixPath(path).name.startswith((".", "_"))]
    known = [path for path in found if known_format(path) is not None]
    if not known:
        raise DataNotFound(
            f"no data file below {folder.uri()}",
            where=source.uri,
            hint="files are known by their endings: .csv .tsv .jsonl .json .parquet, also with .gz",
        )
    return known


def _name(top: Address, path: str, base: Path) -> str:
    """How messages name a file: local ones by a path that an editor opens, others by their URI."""
    if top.local is None:
        return f"{top}/{path}"
    local = top.local / path
    try:
        return str(local.relative_to(base.absolute()))
    except ValueError:
        return str(local)


def _scratch(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))


def _spooled(folder: Path) -> Path:
    path = folder / "stdin"
    with path.open("wb") as copy:
        copyfileobj(sys.stdin.buffer, copy)
    return path
