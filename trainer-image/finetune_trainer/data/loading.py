"""Reads all sources of one place (train, validation or test) into records, and keeps count of what can't be used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from finetune_api.data import Clean, DataSource
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.records import Record, to_record
from finetune_trainer.data.rows import Bad
from finetune_trainer.data.sources import read_rows
from finetune_trainer.storage import Site

Progress = Callable[[str], None]
_ENOUGH = 200
_TELL_EVERY = 20_000


@dataclass
class Loaded:
    """What the sources of one place hold. Grows while they are read."""

    place: str
    sources: Sequence[DataSource]
    records: list[Record] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    files: dict[str, dict[str, None]] = field(default_factory=dict)
    """File names in the order of reading, each with the columns seen in it, also in order."""
    rows_read: int = 0

    def note_bad(self, rows: Sequence[Bad]) -> None:
        """Add rows that turned out to be bad later, and keep all in the order of files and lines."""
        order = {name: number for number, name in enumerate(self.files)}
        self.bad = sorted([*self.bad, *rows], key=lambda bad: (order[bad.place.file], bad.place.line))


@dataclass(frozen=True)
class Reading:
    """What reading needs to know, the same for all places."""

    site: Site
    roles: Mapping[str, str]
    clean: Clean
    progress: Progress = lambda _: None


def load(sources: Sequence[DataSource], place: str, how: Reading) -> Loaded:
    """Read `sources` in their order. Raises `ColumnMissing`, and what `read_rows` raises."""
    loaded = Loaded(place, sources)
    for number, source in enumerate(sources):
        how.progress(f"reading {source.uri}")
        _load_source(loaded, source, f"spec.data.{place}[{number}]", how)
    return loaded


def _load_source(loaded: Loaded, source: DataSource, path: str, how: Reading) -> None:
    rows = read_rows(source, how.site, place=loaded.place, field=path)
    names: list[str] = []
    for row in rows:
        loaded.rows_read += 1
        if row.place.file not in loaded.files:
            names.append(row.place.file)
        columns = loaded.files.setdefault(row.place.file, {})
        if isinstance(row, Bad):
            loaded.bad.append(row)
            continue
        if not row.values.keys() <= columns.keys():
            columns.update(dict.fromkeys(row.values))
        result = to_record(row, how.roles, how.clean)
        (loaded.bad if isinstance(result, Bad) else loaded.records).append(result)  # type: ignore[arg-type]  # each to its list
        if loaded.rows_read == _ENOUGH:
            check_columns(how.roles, columns, row.place.file)
        if loaded.rows_read % _TELL_EVERY == 0:
            how.progress(f"{loaded.rows_read:,} rows read")
    for name in names:
        if loaded.files[name]:
            check_columns(how.roles, loaded.files[name], name)
