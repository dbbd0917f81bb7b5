"""Parsing of label cells: a class, a list of classes or a number. Pure; `"1"`, `1` and `1.0` are one label."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from finetune_api.data import Labels
from finetune_api.tasks import ProblemType
from finetune_trainer.data.list_cells import list_in_text, set_in_text, why_no_list
from finetune_trainer.data.local_numbers import is_local_number, plain_number
from finetune_trainer.data.reading.rows import Spelled, shown

Label = str | float | tuple[str, ...]
"""A class, a number, or the classes of a row in order and each once."""

_WHOLE = re.compile(r"([+-]?)(0|[1-9][0-9]*)(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MOSTLY = 0.9
_EDGES = "\u200b\u2060\ufeff \t\r\n\xa0\u202f"
NAN_IN_CSV = "no label but nan"
OTHER_NOTATION = "label is a number in another notation"


class Passage(str):
    """A target text to generate, of no class."""

    __slots__ = ()


@dataclass
class UnusableLabel(ValueError):  # noqa: N818 -- a finding about a row, not a defect
    """An invalid label, which makes its row an invalid example; `kind` groups findings."""

    kind: str
    detail: str = ""


def is_absent(cell: object) -> bool:
    """Whether a cell is empty: null, NaN, empty text, or `nan` in a text-only format."""
    if isinstance(cell, str):
        return not cell.strip() or is_spelled_nan(cell)
    return cell is None or (isinstance(cell, (float, Decimal)) and math.isnan(cell))


def is_spelled_nan(cell: object) -> bool:
    """Whether a CSV cell is `nan`, as NumPy and pandas may write a missing value."""
    return isinstance(cell, Spelled) and cell.strip().casefold().lstrip("-") == "nan"


def class_name(cell: object) -> str:
    """The class name in a cell: text in Unicode's composed form (NFC), stripped of white space.

    Raises `UnusableLabel` for what is no class.
    """
    if is_absent(cell):
        raise UnusableLabel(NAN_IN_CSV if is_spelled_nan(cell) else "no label")
    if isinstance(cell, str):
        text = cell.strip()
        if not text.isascii():
            text = unicodedata.normalize("NFC", text).strip(_EDGES).strip()
        whole = _WHOLE.fullmatch(text)
        if whole:
            return str(int(whole[1] + whole[2]))
        if "\0" in text or not _is_encodable(text):
            raise UnusableLabel("broken Unicode in the label", shown(text))
        return text.lower() if text.casefold() in ("true", "false") else text
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, (int, float, Decimal)):
        if not math.isfinite(cell):
            raise UnusableLabel("label is no class", shown(cell))
        return str(int(cell)) if cell == int(cell) else str(cell)
    raise UnusableLabel("label is no class", f"{shown(cell)} is a {type(cell).__name__}")


def is_whole(name: str) -> bool:
    """Whether a class name is an integer."""
    return _WHOLE.fullmatch(name) is not None


def is_number(name: str) -> bool:
    """Whether a class name is a number."""
    return _NUMBER.fullmatch(name) is not None


def number(cell: object) -> float:
    """The finite number in a cell. Raises `UnusableLabel` for anything else."""
    if is_absent(cell) or (isinstance(cell, str) and cell.strip().casefold() == "nan"):
        raise UnusableLabel("no label")
    if isinstance(cell, str) and _NUMBER.fullmatch(cell.strip()):
        value = float(cell)
    elif isinstance(cell, (int, float, Decimal)):
        value = float(cell) if not isinstance(cell, int) or abs(cell) < 2**63 else math.inf
    elif isinstance(cell, str) and is_local_number(cell):
        raise UnusableLabel(OTHER_NOTATION, shown(cell))
    else:
        raise UnusableLabel("label is no number", shown(cell))
    if abs(value) > 3e38:  # what a 32-bit float holds
        raise UnusableLabel("label is no finite number", shown(cell))
    return value


def class_names(cell: object, separator: str) -> tuple[str, ...]:
    """The classes in a cell: a list, text that is split at `separator`, or text that holds a JSON list.

    An empty list means none of the classes, as does an empty cell where a separator is set.
    Raises `UnusableLabel` for anything else.
    """
    if separator and isinstance(cell, str) and not cell.strip():
        return ()
    if is_absent(cell):
        raise UnusableLabel("no label")
    items = as_list(cell, separator)
    if items is None and isinstance(cell, str):
        items = set_in_text(cell)
    if items is None:
        why = why_no_list(cell) or "; set data.labels.separator if it holds several"
        raise UnusableLabel("label is no list", shown(cell) + why)
    return tuple(dict.fromkeys(class_name(item) for item in items))


def as_list(cell: object, separator: str = "") -> list[object] | None:
    """The list in a cell, or None where there is none. Lists as text are read as `list_in_text` does."""
    if isinstance(cell, (list, tuple)):
        return list(cell)
    if not isinstance(cell, str):
        return None
    if separator:
        return [part for part in cell.split(separator) if part.strip()]
    return list_in_text(cell)


def is_listed(cell: object) -> bool:
    """Whether a cell holds a list or set of labels, readable or not."""
    is_set = isinstance(cell, str) and set_in_text(cell) is not None
    return is_set or as_list(cell) is not None or bool(why_no_list(cell))


def detect(labels: Labels, cells: Sequence[object]) -> ProblemType:
    """Problem type of the training cells, where the spec leaves it open.

    Lists or a separator make it MultiLabel. Numbers with fractions make it Regression, also when a few cells are no
    numbers (those rows are bad then), unless `labels.names` asks for classes. All else is SingleLabel.
    """
    if labels.problem_type is not ProblemType.AUTO:
        return labels.problem_type
    present = [plain_number(cell, labels.decimal) for cell in cells if not is_absent(cell)]
    lists = sum(is_listed(cell) for cell in present)
    if labels.separator or any(isinstance(c, (list, tuple)) for c in present) or (lists and lists >= len(present) / 2):
        return ProblemType.MULTI_LABEL
    numbers = [value for cell in present if (value := _number_or_none(cell)) is not None]
    fractions = any(value != int(value) for value in numbers)
    present = [cell for cell in present if not (isinstance(cell, str) and cell.strip().casefold() == "nan")]
    if fractions and not labels.names and len(numbers) >= _MOSTLY * len(present):
        return ProblemType.REGRESSION
    return ProblemType.SINGLE_LABEL


def looks_multi_hot(cells: Iterable[object]) -> bool:
    """Whether label lists are multi-hot rows (a zero or one per class) rather than lists of classes.

    They are equally long, hold nothing but 0 and 1, and repeat one of them, which a list of classes has no reason to,
    or all hold both.
    """
    lists = [found for cell in cells if (found := as_list(cell)) is not None]
    same_length = len({len(found) for found in lists}) == 1
    return (
        same_length
        and {item for found in lists for item in map(str, found)} <= {"0", "1", "0.0", "1.0"}
        and any(len(found) > 1 for found in lists)
        and (
            any(len(set(map(str, found))) < len(found) for found in lists)
            or all({float(str(item)) for item in found} == {0, 1} for found in lists)
        )
    )


def looks_scored(cells: Iterable[object]) -> bool:
    """Whether label lists are scores, as class probabilities: numbers only, some with fractions."""
    items = [item for cell in cells for item in as_list(cell) or ()]
    numbers = [_number_or_none(item) for item in items]
    return None not in numbers and any(value != int(value) for value in numbers if value is not None)


def _number_or_none(cell: object) -> float | None:
    try:
        return number(cell)
    except UnusableLabel:
        return None


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
