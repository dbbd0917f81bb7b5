"""Multi-label targets in columns of their own: a column of zeros and ones per label. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from finetune_api.data import Labels
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import class_name
from finetune_trainer.data.reading.rows import Bad, Row, shown

_CHOSEN = {"1": True, "0": False, "true": True, "false": False}


def labels_of_columns(labels: Labels, columns: Sequence[str]) -> Labels:
    """Label settings for labels in `columns`; those of the spec without such columns."""
    if not columns:
        return labels
    several = labels.problem_type is ProblemType.AUTO
    kind = ProblemType.MULTI_LABEL if several else labels.problem_type
    return labels.model_copy(update={"names": list(columns), "problem_type": kind})


def chosen_columns(row: Row, columns: Sequence[str]) -> list[str] | Bad:
    """Names of the columns that hold 1 or true, or the reason why a cell is no truth value."""
    chosen = []
    for column in columns:
        is_chosen = _flag(row.values.get(column))
        if is_chosen is None:
            return Bad(row.place, f"{column} is neither 0 nor 1", shown(row.values.get(column)))
        if is_chosen:
            chosen.append(column)
    return chosen


def flag_columns(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Columns that hold only zeros and ones, in order."""
    seen: dict[str, set[bool | None]] = {}
    for values in rows:
        for column, cell in values.items():
            seen.setdefault(column, set()).add(_flag(cell))
    return [column for column, flags in seen.items() if None not in flags]


def _flag(cell: object) -> bool | None:
    try:
        return _CHOSEN.get(class_name(cell))
    except ValueError:
        return None
