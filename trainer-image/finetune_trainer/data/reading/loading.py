"""Reads all sources of one split into records, and counts invalid examples."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from finetune_api.data import Columns, DataSource
from finetune_trainer.data.columns import check_columns
from finetune_trainer.data.difficulty import rated
from finetune_trainer.data.reading.nested import dotted, inner_names, with_paths
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.sources import read_rows
from finetune_trainer.data.records import Record
from finetune_trainer.data.shapes import Shape
from finetune_trainer.data.shapes.layouts import known_layout
from finetune_trainer.data.split_group import check_split_group, split_group
from finetune_trainer.data.splits import RETENTION_SPLIT, TEST, TRAIN, sources_path
from finetune_trainer.storage import Site

Progress = Callable[[str], None]
_ENOUGH = 200
_TELL_EVERY = 20_000


@dataclass
class Loaded:
    """Records and invalid examples of one split; grows while sources are read."""

    place: str
    sources: Sequence[DataSource]
    records: list[Record] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    files: dict[str, dict[str, None]] = field(default_factory=dict)
    """File names in the order of reading, each with the columns seen in it, also in order."""
    rows_read: int = 0
    read_of: list[int] = field(default_factory=list)
    """Rows read of each source."""
    other_splits: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the sources hold beside this split: by split, each file, key or split on the hub with its source."""

    def note_bad(self, rows: Sequence[Bad]) -> None:
        """Add examples found invalid later, and keep all in the order of files and lines."""
        order = {name: number for number, name in enumerate(self.files)}
        self.bad = sorted([*self.bad, *rows], key=lambda bad: (order[bad.place.file], bad.place.line))


@dataclass(frozen=True)
class Reading:
    """Settings of reading, the same for all splits."""

    site: Site
    shape: Shape
    progress: Progress = lambda _: None
    difficulty: str = ""
    """Column that says how hard a training row is; empty for none."""
    paths: Sequence[str] = ()
    """Names in `spec.data.columns` that may be paths into cells."""
    split_group: str = ""
    """Column whose values keep rows together when they are split; empty for none."""

    def column_of_difficulty(self, place: str) -> str:
        """The settings with the difficulty column of a split."""
        return self.difficulty if place == TRAIN else ""

    def wanted(self, place: str) -> dict[str, str]:
        """Required columns by role; known once the shape has seen a row."""
        column = self.column_of_difficulty(place)
        return {**self.shape.roles, **({"difficulty": column} if column else {})}

    def check(
        self,
        place: str,
        found: Collection[str],
        file: str,
        inner: Sequence[str],
        rows: Sequence[Mapping[str, object]] = (),
    ) -> None:
        """Raise `ColumnMissing` where a file lacks a column.

        `inner` are paths to what is in its cells, `rows` some of its rows.
        """
        known = known_layout(found, self.wanted(place), rows)
        layout = f"these look like {known.name}: {known.advice}" if known else ""
        may_guess = known is None or not known.is_to_rewrite
        check_columns(self.wanted(place), found, file, inner, layout=layout, rows=rows, may_guess=may_guess)


def paths_of(columns: Columns, *others: str) -> tuple[str, ...]:
    """Column names, those of the job and `others`, that may be paths into cells."""
    names = columns.model_dump()
    return dotted([*names.pop("labels"), *names.values(), *others])


def load(sources: Sequence[DataSource], place: str, how: Reading) -> Loaded:
    """Read `sources` in their order. Raises `ColumnMissing`, and what `read_rows` raises."""
    loaded = Loaded(place, sources)
    for number, source in enumerate(sources):
        how.progress(f"reading {source.uri}")
        before = loaded.rows_read
        _load_source(loaded, number, f"{sources_path(place)}[{number}]", how)
        loaded.read_of.append(loaded.rows_read - before)
    return loaded


def _load_source(loaded: Loaded, number: int, path: str, how: Reading) -> None:
    source, column = loaded.sources[number], how.column_of_difficulty(loaded.place)
    split = TEST if loaded.place == RETENTION_SPLIT else loaded.place
    names: list[str] = []
    inner: list[str] = []
    first: list[Row | Bad] = []

    def note_split(other: str, where: str) -> None:
        loaded.other_splits.setdefault(other, {})[where] = source.uri

    for read in _remembered(read_rows(source, how.site, place=split, field=path, tell_split=note_split), first):
        row = read
        loaded.rows_read += 1
        if row.place.file not in loaded.files:
            names.append(row.place.file)
        columns = loaded.files.setdefault(row.place.file, {})
        if isinstance(row, Bad):
            loaded.bad.append(row)
            continue
        if not row.values.keys() <= columns.keys():
            inner = inner_names(row.values) or inner
            columns.update(dict.fromkeys(row.values))
        row = with_paths(row, how.paths)
        columns.update(dict.fromkeys(row.values))
        result = _record(row, how, column)
        if isinstance(result, Bad):
            loaded.bad.append(result)
        else:
            loaded.records.append(_marked(result, number, source))
        if loaded.rows_read == _ENOUGH:
            how.check(loaded.place, columns, row.place.file, inner, _values(first))
        if loaded.rows_read % _TELL_EVERY == 0:
            how.progress(f"{loaded.rows_read:,} rows read")
    _check_files(loaded, names, inner, _values(first), how)


def _check_files(
    loaded: Loaded, names: Sequence[str], inner: Sequence[str], first: Sequence[Mapping[str, object]], how: Reading
) -> None:
    for name in names:
        if loaded.files[name]:
            how.check(loaded.place, loaded.files[name], name, inner, first)
    if how.split_group and loaded.place == TRAIN:
        check_split_group(how.split_group, {name: loaded.files[name] for name in names})


def _remembered(rows: Iterator[Row | Bad], first: list[Row | Bad]) -> Iterator[Row | Bad]:
    """The rows, with the first of them stored in `first`."""
    for row in rows:
        if len(first) < _ENOUGH:
            first.append(row)
        yield row


def _record(row: Row, how: Reading, difficulty: str) -> Record | Bad:
    record = how.shape.record(row)
    if how.split_group and not isinstance(record, Bad):
        record = replace(record, split_group=split_group(row, how.split_group))
    return rated(record, row, difficulty) if difficulty and not isinstance(record, Bad) else record


def _values(rows: Sequence[Row | Bad]) -> list[dict[str, object]]:
    return [row.values for row in rows if isinstance(row, Row)]


def _marked(record: Record, number: int, source: DataSource) -> Record:
    """The record with prefix and number of its source."""
    return replace(record, source=number, prefix=source.prefix) if number or source.prefix else record
