"""Rows and groups that given validation and test files share with the training rows and with each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from finetune_api.data import Data, NearDuplicateRule
from finetune_api.data_report import Place
from finetune_trainer.data.reading.loading import Loaded
from finetune_trainer.data.reading.rows import at, shown
from finetune_trainer.data.row_groups import Grouped, leaks
from finetune_trainer.data.splits import TEST, TRAIN, VALIDATION

_NAMED = 3
Pairs = list[tuple[Place, Place]]


@dataclass(frozen=True)
class Overlap:
    """Shared rows and groups by split."""

    leaks: dict[str, Pairs] = field(default_factory=dict)
    """By given split: its rows that are nearly the same as a training row, each with that."""
    held_out: Pairs = field(default_factory=list)
    """Given test rows that are nearly the same as a given validation row, each with that."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    """By given split: its values of `data.split.groupColumn` that training rows have, too."""
    warnings: list[str] = field(default_factory=list)
    """The same in sentences."""

    @property
    def leaked(self) -> Pairs:
        """The leaks of all splits."""
        return [pair for pairs in self.leaks.values() for pair in pairs]


def find_overlap(data: Data, parts: Mapping[str, Grouped], loaded: Mapping[str, Loaded]) -> Overlap:
    """Compare given validation and test rows with the training rows, and test rows with validation rows."""
    given = [name for name in (VALIDATION, TEST) if name in loaded]
    found = {name: list(leaks(parts[name], parts[TRAIN])) for name in given}
    both = list(leaks(parts[TEST], parts[VALIDATION])) if len(given) > 1 else []
    column = data.split.group_column
    groups = {name: _shared(parts[name], parts[TRAIN]) for name in given if column}
    alike = "the same as" if data.split.near_duplicates is NearDuplicateRule.IGNORE else "nearly the same as"
    warnings = [
        *_about_leaks(found, parts, alike),
        *_about_held_out(both, parts, alike),
        *_about_groups(column, groups),
        *(_about_column(column, loaded, given) if column else ()),
    ]
    return Overlap(found, both, groups, warnings)


def _shared(held_out: Grouped, train: Grouped) -> list[str]:
    return sorted(_values(held_out) & _values(train))


def _values(part: Grouped) -> set[str]:
    return {record.split_group for record in part.rows.records if record.split_group is not None}


def _about_leaks(found: Mapping[str, Pairs], parts: Mapping[str, Grouped], alike: str) -> Iterator[str]:
    for name, pairs in found.items():
        if len(pairs) > 1 and len(pairs) == len(parts[name].rows):
            yield (
                f"All {len(pairs):,} {name} rows are {alike} training rows, for example {_pair(pairs)}: is it the same"
                " file? Metrics on them say nothing about new data."
            )
    some = [pair for name, pairs in found.items() if not 1 < len(pairs) == len(parts[name].rows) for pair in pairs]
    if some:
        rows = "1 row is" if len(some) == 1 else f"{len(some):,} rows are"
        yield (
            f"In the given validation or test files, {rows} {alike} a training row, for example {_pair(some)}: metrics"
            " on them may be too good."
        )


def _about_held_out(both: Pairs, parts: Mapping[str, Grouped], alike: str) -> Iterator[str]:
    if not both:
        return
    rows = "1 test row is" if len(both) == 1 else f"{len(both):,} test rows are"
    if len(both) == len(parts[TEST].rows):
        rows = f"All {rows}" if len(both) > 1 else rows
    yield (
        f"{rows} {alike} a validation row, for example {_pair(both)}: validation rows select the best checkpoint, so"
        " metrics on such test rows are too good. Name other rows in data.test."
    )


def _about_groups(column: str, groups: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, values in groups.items():
        if values:
            more = f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""
            listed = ", ".join(shown(value) for value in values[:_NAMED])
            yield (
                f"Given {name} rows share values of {shown(column)} with training rows ({listed}{more}): metrics on"
                " them may be too good."
            )


def _about_column(column: str, loaded: Mapping[str, Loaded], given: Sequence[str]) -> Iterator[str]:
    files = [item for name in given for item in loaded[name].files.items()]
    missing = [file for file, columns in files if columns and column not in columns]
    if missing:
        yield f"{', '.join(missing[:_NAMED])} has no column {shown(column)}, so shared groups are not seen there."
    alone = sum(record.split_group is None for record in loaded[TRAIN].records)
    if alone:
        rows = "1 training row has" if alone == 1 else f"{alone:,} training rows have"
        yield f"{rows} no value of {shown(column)}: each is a group of its own."


def _pair(pairs: Pairs) -> str:
    place, other = pairs[0]
    return f"{at(place)} and {at(other)}"
