"""Data report: counts and warnings."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from pydantic.alias_generators import to_camel

from finetune_api.data import Labels
from finetune_api.data_report import BadRow, DataReport, SourceReport, SplitReport
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import is_absent
from finetune_trainer.data.label_name_checks import listed_warning, look_alikes, stands_for_none, units_warning
from finetune_trainer.data.labelled import Labelled
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.local_numbers import may_be_thousands
from finetune_trainer.data.overlap import Overlap
from finetune_trainer.data.reading.loading import Loaded
from finetune_trainer.data.reading.rows import Bad, Spelled, shown
from finetune_trainer.data.row_groups import group_count
from finetune_trainer.data.splits import SPLITS, TRAIN
from finetune_trainer.data.tags import entity_counts, tag_warnings
from finetune_trainer.data.text_warnings import text_warnings
from finetune_trainer.data.unused_columns import unused_columns, without_role

_EXAMPLES = 20
_IMBALANCED = 10
_FEW_ROWS = 8
_FEW_HELD_OUT = 30
_NAMED = 5
_OFTEN = 4


@dataclass(frozen=True)
class Findings:
    """Results of data preparation."""

    roles: Mapping[str, str]
    loaded: list[Loaded]
    space: LabelSpace
    splits: dict[str, Labelled]
    dropped: int
    near_duplicates: int | None
    overlap: Overlap
    conflicts: int
    labels: Labels
    """How the spec says that labels are read."""
    mixed: list[SourceReport] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """What is to be said of splits that no source reads."""
    splitting: list[str] = field(default_factory=list)
    """What is to be said of how rows were split."""
    has_groups: bool = False
    """Whether a column keeps rows together."""

    @property
    def bad(self) -> list[Bad]:
        """Invalid examples of all splits."""
        return list(chain.from_iterable(part.bad for part in self.loaded))


def describe(found: Findings) -> DataReport:
    """The data report of the findings; lengths in tokens are added where the tokenizer is known."""
    splits = {name: split_report(rows, found.space) for name, rows in found.splits.items()}
    if found.has_groups:
        counted = {name: group_count(rows) for name, rows in found.splits.items()}
        splits = {name: part.model_copy(update={"groups": counted[name]}) for name, part in splits.items()}
    bad = found.bad
    return DataReport(
        files=list(dict.fromkeys(name for part in found.loaded for name in part.files)),
        rows_read=sum(part.rows_read for part in found.loaded),
        bad_rows=len(bad),
        bad_row_examples=[BadRow(place=b.place, reason=b.reason) for b in bad[:_EXAMPLES]],
        bad_row_reasons=dict(Counter(b.kind for b in bad).most_common()),
        duplicates_dropped=found.dropped,
        near_duplicates=found.near_duplicates,
        leaks=len(found.overlap.leaked),
        leak_examples=found.overlap.leaked[:_EXAMPLES],
        shared_held_out=len(found.overlap.held_out),
        shared_groups=sum(map(len, found.overlap.groups.values())),
        conflicting_labels=found.conflicts,
        splits=splits,
        imbalance=_imbalance(entity_counts(splits[TRAIN].labels) if found.space.has_tags else splits[TRAIN].labels),
        columns={to_camel(role): column for role, column in found.roles.items()},
        problem_type="" if found.space.problem_type is ProblemType.AUTO else found.space.problem_type.value,
        label_names=list(found.space.names),
        tag_scheme=found.space.tag_scheme,
        sources=found.mixed,
        unused_columns=without_role(found.roles, _columns(found.loaded[0])),
        warnings=list(_warnings(found, splits)),
    )


def split_report(rows: Labelled, space: LabelSpace) -> SplitReport:
    """Rows of one split, by label or as statistics of the numbers to predict."""
    if space.problem_type is ProblemType.REGRESSION:
        values = np.asarray(rows.labels, dtype=np.float64)
        numbers = {name: float(getattr(values, name)()) for name in ("mean", "std", "min", "max")}
        return SplitReport(rows=len(rows), numbers=numbers)
    sets = rows.labels if space.has_tags else rows.classes
    counts = Counter(name for names in sets if not isinstance(names, str | float) for name in names)
    return SplitReport(rows=len(rows), labels={name: counts[name] for name in space.names})


def _imbalance(labels: Mapping[str, int]) -> float | None:
    present = [count for count in labels.values() if count]
    return max(present) / min(present) if present else None


def _warnings(found: Findings, splits: Mapping[str, SplitReport]) -> Iterator[str]:
    yield from _about_rows(found)
    yield from unused_columns(found.roles, _columns(found.loaded[0]))
    yield from text_warnings(found.splits[TRAIN])
    yield from found.unread
    yield from found.splitting
    yield from (tag_warnings if found.space.has_tags else _about_labels)(splits[TRAIN].labels)
    yield from _about_names(found)
    yield from _about_sources(found.mixed)
    yield from _about_held_out(splits)


def _columns(loaded: Loaded) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(loaded.files.values())))


def _about_sources(mixed: list[SourceReport]) -> Iterator[str]:
    for source in mixed:
        if not source.rows.get(TRAIN):
            yield f"No training row comes from {source.name}: all were dropped, or are held out."
        elif source.passes is not None and source.passes > _OFTEN:
            times = f"{source.passes:.0f} times"
            yield f"An epoch goes through the rows of {source.name} {times}: they may be memorized."


def _about_rows(found: Findings) -> Iterator[str]:
    writes = not {"label", "labels[0]", "tags"} & found.roles.keys()
    if found.bad:
        kinds = ", ".join(f"{kind} ({n:,})" for kind, n in Counter(b.kind for b in found.bad).most_common(4))
        yield f"{_rows(len(found.bad))} left out: {kinds}."
    if found.dropped:
        same = "input and target" if writes else "text and label"
        yield f"{_rows(found.dropped)} dropped from training because an earlier row has the same {same}."
    yield from found.overlap.warnings
    if found.conflicts:
        texts = "text occurs" if found.conflicts == 1 else "texts occur"
        yield f"{found.conflicts:,} {texts} with different {'targets' if writes else 'labels'}."
    unlabelled = sum(label == () for rows in found.splits.values() for label in rows.labels)
    if unlabelled:
        yield f"{_rows(unlabelled, verb='is')} without any label; they teach that none of the classes applies."


def _about_labels(labels: Mapping[str, int]) -> Iterator[str]:
    absent = [name for name, count in labels.items() if not count]
    few = [name for name, count in labels.items() if 0 < count < _FEW_ROWS]
    imbalance = _imbalance(labels)
    if absent:
        yield f"No training row has the label {_listed(absent)}: it can't be learned."
    if few:
        yield f"Fewer than {_FEW_ROWS} training rows have the label {_listed(few)}: expect little of it."
    if imbalance is not None and imbalance > _IMBALANCED:
        most, least = (
            max(labels, key=lambda n: labels[n]),
            min((n for n in labels if labels[n]), key=lambda n: labels[n]),
        )
        yield (
            f"{shown(most)} has {imbalance:.0f} times the rows of {shown(least)}: look at macro averages, and consider"
            " training.classWeights: Balanced."
        )


def _about_held_out(splits: Mapping[str, SplitReport]) -> Iterator[str]:
    for name in SPLITS[1:]:
        if name not in splits:
            continue
        absent = [label for label, count in splits[name].labels.items() if not count and splits[TRAIN].labels[label]]
        if absent:
            yield f"No {name} row has the label {_listed(absent)}: nothing is measured on it."
        if splits[name].rows < _FEW_HELD_OUT:
            yield f"Only {_rows(splits[name].rows, verb='')} for {name}: metrics on so few are uncertain."


def _about_names(found: Findings) -> Iterator[str]:
    """Warnings about class names, such as names that may stand for a missing value."""
    yield from look_alikes(found.space.names)
    cells = [record.label for part in found.loaded for record in part.records]
    grouped = may_be_thousands(cells) if found.space.problem_type is ProblemType.REGRESSION else ""
    if grouped and not found.labels.decimal:
        yield (
            f"Numbers such as {shown(grouped)} are read with a decimal point; if it parts thousands, set"
            " data.labels.decimal: ','."
        )
    if found.labels.names or found.space.has_tags or found.space.problem_type is ProblemType.REGRESSION:
        return
    if found.labels.problem_type is ProblemType.AUTO and found.space.problem_type is ProblemType.SINGLE_LABEL:
        names = found.space.names
        yield from filter(None, [listed_warning(names), stands_for_none(names), units_warning(names)])
    spelled = Counter(cell.strip() for cell in cells if isinstance(cell, Spelled) and not is_absent(cell))
    for name, count in spelled.items():
        yield (
            f"{_rows(count, verb='has')} the label {shown(name)}, a class here, which some programs write for a missing"
            " value: name the classes in data.labels.names if it is one, else leave the cells empty."
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(shown(name) for name in names[:_NAMED]) + more


_PLURALS = {"was": "were", "is": "are", "has": "have", "": ""}


def _rows(count: int, verb: str = "was") -> str:
    return f"{count:,} row{'' if count == 1 else 's'} {verb if count == 1 else _PLURALS[verb]}".strip()
