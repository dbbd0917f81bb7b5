"""Label space and training targets from label cells."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from finetune_api.data import Labels
from finetune_api.data_report import Place
from finetune_api.failures import LabelsUnsuitable, Problem, SpecInvalid
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import (
    Label,
    UnusableLabel,
    class_name,
    class_names,
    detect,
    is_listed,
    is_number,
    is_whole,
    looks_multi_hot,
    looks_scored,
    number,
)
from finetune_trainer.data.label_name_checks import listed_classes, number_with_unit
from finetune_trainer.data.local_numbers import is_local_number, plain_number
from finetune_trainer.data.reading.rows import Spelled, at, shown

MAX_CLASSES = 512
_EXAMPLES = 20
_NAMED = 12
_CHECK = "check that spec.data.columns.label is the right column"


@dataclass(frozen=True)
class LabelSpace:
    """Problem type, and class names in the order of their ids."""

    problem_type: ProblemType
    names: tuple[str, ...] = ()
    tag_scheme: str = ""
    """How tags of words are written, in words; empty for labels of texts."""

    @property
    def num_labels(self) -> int:
        """Outputs of the model (`num_labels`): one per class, or one for a number."""
        return len(self.names) if self.names else 1

    @property
    def has_tags(self) -> bool:
        """Whether the names are tags of words, so that each row has one per word."""
        return bool(self.names) and self.problem_type is ProblemType.AUTO


NO_LABELS = LabelSpace(ProblemType.AUTO)
"""Where text is learned from or produced: there is nothing to distinguish."""


class LabelReader:
    """Parser of label cells for one problem type, with the class names of the spec."""

    def __init__(self, problem_type: ProblemType, labels: Labels) -> None:
        """Take the problem type (not Auto). Raises `SpecInvalid` for class names that contradict it."""
        self.problem_type = problem_type
        self._separator, self._decimal = labels.separator, labels.decimal
        self.is_guessed = labels.problem_type is ProblemType.AUTO and not labels.names
        """Whether neither the problem type nor the classes are given."""
        self._names = _given_names(problem_type, labels.names)
        self._by_index = bool(labels.names) and not any(is_whole(name) for name in self._names)
        self.names = tuple(labels.names)

    def read(self, cell: object) -> Label:
        """Parse the label in a cell. Raises `UnusableLabel` for a cell without a usable one."""
        cell = self._as_meant(plain_number(cell, self._decimal))
        if self.problem_type is ProblemType.REGRESSION:
            return number(cell)
        if self.problem_type is ProblemType.MULTI_LABEL:
            return tuple(dict.fromkeys(self._named(name) for name in class_names(cell, self._separator)))
        return self._named(class_name(cell))

    def _as_meant(self, cell: object) -> object:
        """A cell as plain text where it spells a missing value but is one of the given names."""
        return str(cell) if isinstance(cell, Spelled) and cell.strip() in self._names else cell

    def _named(self, name: str) -> str:
        if not self._names:
            return name
        if name in self._names:
            return self._names[name]
        if self._by_index and is_whole(name) and 0 <= int(name) < len(self.names):
            return self.names[int(name)]
        raise UnusableLabel("label is not one of data.labels.names", f"{shown(name)}{_nearest(name, self.names)}")


def label_reader(labels: Labels, cells: Sequence[object]) -> LabelReader:
    """The label reader for the training `cells`.

    Raises `LabelsUnsuitable` for rows of zeros and ones, which would be taken for classes 0 and 1, and for scores.
    """
    problem_type = detect(labels, cells)
    if problem_type is ProblemType.MULTI_LABEL and not labels.separator and looks_scored(cells):
        raise LabelsUnsuitable(
            "the label lists are numbers with fractions, as scores or probabilities of classes are",
            where="spec.data.train",
            hint="list the classes that apply, by name or number, or write one number to predict in each row",
        )
    if problem_type is ProblemType.MULTI_LABEL and not labels.separator and looks_multi_hot(cells):
        raise LabelsUnsuitable(
            "the label lists are rows of zeros and ones",
            where="spec.data.train",
            hint="list the classes that apply instead, by name or number: [2, 5] rather than [0, 0, 1, 0, 0, 1]",
        )
    return LabelReader(problem_type, labels)


def label_space(reader: LabelReader, labels: Iterable[Label]) -> LabelSpace:
    """The label space of the training labels: given names, else sorted ones (numbers by value, text by alphabet).

    Raises `LabelsUnsuitable` for a single class, for more than `MAX_CLASSES`, and for numbers that are all the same.
    """
    if reader.problem_type is ProblemType.REGRESSION:
        if len(set(labels)) < 2:
            raise LabelsUnsuitable("all training rows have the same number", where="spec.data.train", hint=_CHECK)
        return LabelSpace(ProblemType.REGRESSION)
    sets = [label if isinstance(label, tuple) else (str(label),) for label in labels]
    found = {name for names in sets for name in names}
    if len({frozenset(names) for names in sets}) < 2:
        same = f": {', '.join(map(shown, sorted(found)[:_NAMED]))}" if found else " (none)"
        raise LabelsUnsuitable(
            f"all training rows have the same label{'s' if len(found) > 1 else ''}{same}",
            where="spec.data.train",
            hint=f"there is nothing to distinguish: add rows of other classes, or {_CHECK}",
        )
    if reader.is_guessed and reader.problem_type is ProblemType.SINGLE_LABEL:
        _check_classes(found)
    _check_number_of_classes(found, len(sets))
    return LabelSpace(reader.problem_type, reader.names or tuple(in_order(found)))


def in_order(names: Iterable[str]) -> list[str]:
    """Class names by value if all are integers, else by alphabet."""
    found = list(names)
    return sorted(found, key=int) if all(is_whole(name) for name in found) else sorted(found)


def targets(space: LabelSpace, labels: Sequence[Label]) -> NDArray[np.int64] | NDArray[np.float32]:
    """Training targets: class ids [n], multi-hot rows [n, k], or numbers [n]."""
    index = {name: position for position, name in enumerate(space.names)}
    if space.problem_type is ProblemType.REGRESSION:
        return np.asarray(labels, dtype=np.float32)
    if space.problem_type is ProblemType.SINGLE_LABEL:
        return np.asarray([index[str(label)] for label in labels], dtype=np.int64)
    several = np.zeros((len(labels), len(space.names)), dtype=np.float32)
    for row, label in enumerate(labels):
        several[row, [index[name] for name in (label if isinstance(label, tuple) else ())]] = 1
    return several


def check_known(space: LabelSpace, classes: Sequence[frozenset[str]], places: Sequence[Place], split: str) -> None:
    """Raise `LabelsUnsuitable` where rows of a given file have classes that the training rows lack."""
    known = set(space.names)
    problems = [
        Problem(f"label {shown(name)} does not occur in the training rows{_nearest(name, space.names)}", at(place))
        for names, place in zip(classes, places, strict=True)
        for name in sorted(names - known)
    ]
    if problems:
        hint = f"correct the {split} rows, or add training rows of that class"
        first = problems[:_EXAMPLES]
        last = Problem(first[-1].message, first[-1].where, hint)
        raise LabelsUnsuitable(*first[:-1], last)


def _given_names(problem_type: ProblemType, names: Sequence[str]) -> dict[str, str]:
    if names and problem_type is ProblemType.REGRESSION:
        raise SpecInvalid(
            "names are for classes, but problemType is Regression", where="spec.data.labels.names", hint="remove one"
        )
    by_canonical: dict[str, str] = {}
    for name in names:
        canonical = class_name(name) if name.strip() else ""
        if not canonical or canonical in by_canonical:
            problem = "is empty" if not canonical else f"is the same label as {shown(by_canonical[canonical])}"
            raise SpecInvalid(f"{shown(name)} {problem}", where="spec.data.labels.names", hint="name each class once")
        by_canonical[canonical] = name
    return by_canonical


_MOSTLY = 0.9


def _check_classes(found: set[str]) -> None:
    """Raise `LabelsUnsuitable` where class names are lists of others, or numbers in another notation."""
    path = "spec.data.labels"
    single = f"{path}.problemType: SingleLabel if each is a class of its own"
    lists = sorted(name for name in found if is_listed(name))
    if lists:
        message = f"some labels are lists, such as {shown(lists[0])}, and others are not"
        raise LabelsUnsuitable(message, where=path, hint="write a list in each row, as JSON")
    if all(name.startswith("{") and name.endswith("}") for name in found):
        message = f"the labels are in braces, such as {shown(min(found))}, as PostgreSQL writes arrays"
        raise LabelsUnsuitable(message, where=path, hint=f'write lists, as JSON: ["a", "b"]; or {single}')
    local = sorted(name for name in found if is_local_number(name))
    is_local = bool(local) and len(local) + sum(map(is_number, found)) >= _MOSTLY * len(found)
    listed = listed_classes(found)
    if listed is not None and listed.is_sure:
        parts = " and ".join(shown(part) for part in listed.parts[:4])
        advice = [f"set {path}.separator: {listed.separator!r} for several labels per row"]
        advice += [f"{path}.decimal for numbers to predict"] if is_local else []
        raise LabelsUnsuitable(
            f"the label {shown(listed.name)} is a list of the labels {parts}",
            where=path,
            hint=", ".join([*advice, f"or {single}"]),
        )
    if is_local:
        sign = "'.'" if all(plain_number(name, ",") == name or "." in name[1:-3] for name in local) else "','"
        raise LabelsUnsuitable(
            f"the labels look like numbers in another notation, such as {shown(local[0])}",
            where=path,
            hint=f"set {path}.decimal: {sign} for numbers to predict, {path}.separator for several labels per row, or"
            f" {single}",
        )


def _check_number_of_classes(found: set[str], rows: int) -> None:
    numbers = all(is_whole(name) for name in found)
    hint = _CHECK + (", or set spec.data.labels.problemType: Regression" if numbers else "")
    if (with_unit := number_with_unit(found)) is not None:
        hint = f"for numbers to predict write {with_unit[1]}, not {shown(with_unit[0])}; or {_CHECK}"
    if len(found) > MAX_CLASSES:
        raise LabelsUnsuitable(
            f"{len(found):,} classes are more than {MAX_CLASSES}", where="spec.data.train", hint=hint
        )
    if len(found) > 20 and len(found) > rows / 2:
        raise LabelsUnsuitable(
            f"{len(found):,} classes in {rows:,} rows: nearly each row has its own", where="spec.data.train", hint=hint
        )


def _nearest(name: str, names: Sequence[str]) -> str:
    plain = {known.casefold().strip(): known for known in names}
    close = get_close_matches(name.casefold(), plain, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {shown(plain[close[0]])}?"
    if len(names) <= _NAMED:
        return f"; known are {', '.join(shown(known) for known in names)}"
    return ""
