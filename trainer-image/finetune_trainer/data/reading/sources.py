"""Rows of a `DataSource`: finds files, downloads remote ones, chooses the reader."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from finetune_api.data import DataFormat, DataSource
from finetune_api.failures import DataNotFound
from finetune_api.file_formats import known_format
from finetune_trainer.data.reading.conll_rows import read_conll
from finetune_trainer.data.reading.csv_rows import read_csv
from finetune_trainer.data.reading.files import DataFile, TellSplit, data_file, is_unread_table, tell_nobody
from finetune_trainer.data.reading.json_rows import read_json, read_jsonl
from finetune_trainer.data.reading.parquet_rows import read_parquet
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.split_names import files_of_place, is_about_data, place_of_file
from finetune_trainer.data.reading.stdin_rows import STDIN, read_stream, spool
from finetune_trainer.storage import (
    Address,
    Folder,
    Site,
    check_present,
    find_address,
    hub_token,
    on_disk,
    open_address,
)
from finetune_trainer.storage.disk_errors import reading

HUB = "hf://"
_LISTED = 3
_READERS: dict[DataFormat, Callable[[DataFile], Iterator[Row | Bad]]] = {
    DataFormat.CSV: read_csv,
    DataFormat.JSONL: read_jsonl,
    DataFormat.JSON: read_json,
    DataFormat.PARQUET: read_parquet,
    DataFormat.CONLL: read_conll,
}


def read_rows(
    source: DataSource | str,
    site: Site,
    *,
    place: str = "",
    field: str = "",
    text_column: str = "text",
    tell_split: TellSplit = tell_nobody,
) -> Iterator[Row | Bad]:
    """Read the rows of `source`: a `DataSource`, a URI, or `-` for standard input.

    `site` says what relative files, volumes and Secrets are here; `place` (train, validation or test) picks the split
    of a hub data set that names none, of a folder and of a JSON file that hold several (empty: all files, and of the
    hub `train`); `field` is the path of the source in the spec, for messages. On standard input, lines that are neither
    JSON nor CSV with a column `text_column` are texts themselves. Records that can't be used come out as `Bad`.
    `tell_split` takes the splits that the source holds beside that of `place`.

    Raises `DataNotFound`, `DataUnreadable`, `PermissionDenied`, `StorageUnavailable` or `SpecInvalid`.
    """
    with ExitStack() as stack:
        scratch = partial(_scratch, stack)
        if source == STDIN:
            yield from read_stream(spool(scratch()), text_column)
            return
        wanted = DataSource(uri=source) if isinstance(source, str) else source
        if wanted.uri.startswith(HUB):
            yield from _hub_rows(wanted, site, place or "train", field, tell_split)
            return
        for file in _files(wanted, site, place, field, scratch, tell_split=tell_split):
            yield from _READERS[file.format](replace(file, tell_split=tell_split))


def reader_of(form: DataFormat) -> Callable[[DataFile], Iterator[Row | Bad]]:
    """The reader of a file format; not for `Auto`."""
    return _READERS[form]


def source_files(source: DataSource, site: Site, field: str) -> Iterator[DataFile]:
    """Files of a source that is not on the hub, each available during its iteration. Raises as `read_rows` does."""
    with ExitStack() as stack:
        yield from _files(source, site, "", field, partial(_scratch, stack), tell_split=tell_nobody)


def _hub_rows(source: DataSource, site: Site, place: str, field: str, tell_split: TellSplit) -> Iterator[Row | Bad]:
    from finetune_trainer.data.reading import hub_rows

    wanted, token = hub_rows.parse_hub_uri(source.uri), hub_token(source.secret_ref, site)
    if not wanted.file:
        yield from hub_rows.read_data_set(wanted.repository, source, place, field, token, tell_split=tell_split)
        return
    path = hub_rows.fetch_file(wanted, source.revision, field, token)
    file = replace(data_file(path, source.uri, source, field), place=place, tell_split=tell_split)
    yield from _READERS[file.format](file)


def _files(
    source: DataSource, site: Site, place: str, field: str, scratch: Callable[[], Path], *, tell_split: TellSplit
) -> Iterator[DataFile]:
    """Files of a storage URI in name order, each downloaded on demand."""
    address = find_address(source.uri, site)
    check_present(address, site, DataNotFound, f"{field}.uri" if field else "")
    here = on_disk(address, site)
    with reading(here.path if here else address, DataNotFound):  # a name may be too long to look at
        whole_folder = source.uri.endswith("/") or (here is not None and here.path.is_dir())
    top = address if whole_folder else address.parent
    folder = open_address(top, site, source.secret_ref)
    paths = [address.name]
    if whole_folder:
        known = _known_files(folder, source)
        paths = _files_of_place(known, source, place)
        for path, split in _other_splits(known, place):
            tell_split(split, _name(top, path, site))
    for path in paths:
        name = _name(top, path, site)
        described = data_file(Path(path), name, source, field)  # before a download that would be in vain
        yield replace(described, path=folder.fetch(path, scratch()), place=place)


def _known_files(folder: Folder, source: DataSource) -> list[str]:
    """The data files in a folder. Raises `DataNotFound`."""
    found = [path for path, _ in folder.list() if not _is_hidden(path)]
    known = [path for path in found if known_format(path) is not None and not is_about_data(path)]
    unread = [path for path in found if is_unread_table(path)]
    if not known:
        there = (
            f" {', '.join(unread[:_LISTED])} can't be read: write the rows as Parquet, CSV or JSONL" if unread else ""
        )
        raise DataNotFound(
            f"no data file below {folder.uri()}",
            where=source.uri,
            hint="files are known by their endings: .csv .tsv .jsonl .json .parquet .conll .conllu .bio, also with .gz,"
            f" .bz2, .xz or .zst{';' if there else ''}{there}",
        )
    if unread:
        message = f"{', '.join(unread[:_LISTED])} beside {known[0]} can't be read, and may hold rows"
        raise DataNotFound(message, where=source.uri, hint=_one_by_one(source, known[0]))
    return known


def _files_of_place(known: list[str], source: DataSource, place: str) -> list[str]:
    """The files in a folder for a split. Raises `DataNotFound`."""
    files, unclear = files_of_place(known, place)
    if unclear:
        hint = _one_by_one(source, next((path for path in known if place_of_file(path) == place), known[0]))
        raise DataNotFound(f"it is not clear which files hold the {place} rows: {unclear}", where=source.uri, hint=hint)
    return files


def _other_splits(paths: list[str], place: str) -> Iterator[tuple[str, str]]:
    """Files in a folder that belong to other splits than that of `place`, each with its split."""
    found = ((path, place_of_file(path)) for path in paths if place)
    return ((path, split) for path, split in found if split not in ("", place))


def _is_hidden(path: str) -> bool:
    """Whether a file or a folder on its path is no data: `.ipynb_checkpoints`, `__MACOSX`, `_SUCCESS`."""
    return any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)


def _one_by_one(source: DataSource, path: str) -> str:
    return f"name the files one by one, for example {source.uri.rstrip('/')}/{path}"


def _name(top: Address, path: str, site: Site) -> str:
    """Name of a file in messages: a local path that editors open, or a URI."""
    if top.scheme != "file":
        return f"{top}/{path}"
    local = Path(top.path) / path
    try:
        return str(local.relative_to(site.base.absolute()))
    except ValueError:
        return str(local)


def _scratch(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
