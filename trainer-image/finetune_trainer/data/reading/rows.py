"""A row as it comes from a file, before anything is known about its columns."""

from dataclasses import dataclass

from finetune_api.data_report import Place


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its cells by column name, and where it is."""

    values: dict[str, object]
    place: Place


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that can't be used. `kind` groups reasons of one sort; `detail` says what is wrong with this one."""

    place: Place
    kind: str
    detail: str = ""

    @property
    def reason(self) -> str:
        """The kind and the detail as one phrase."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True, slots=True)
class UnclearColumn:
    """Stands for the cells of a column that a file does not name, and that can't be told from what it holds."""

    role: str
    """What is looked for: `tokens` or `tags`."""
    file: str
    reason: str
    """Why it is unclear."""
    example: str
    """A column that may be meant."""


class Spelled(str):
    """Text of a CSV cell that programs write for a missing value, and that may be a word or a class as well."""

    __slots__ = ()


MISSING = {
    "nan",
    "NaN",
    "NAN",
    "-nan",
    "NA",
    "N/A",
    "#N/A",
    "<NA>",
    "NULL",
    "null",
    "NaT",
    "\\N",
    "#REF!",
    "#VALUE!",
    "#NAME?",
    "#DIV/0!",
}
"""How programs spell a missing value as text."""
_LONGEST = 9


def csv_cell(cell: str) -> str:
    """A cell of a format that has text only, marked where it may stand for a missing value."""
    return Spelled(cell) if len(cell) < _LONGEST and cell.strip() in MISSING else cell


def at(place: Place) -> str:
    """`file:line`, as editors and terminals understand it."""
    return f"{place.file}:{place.line}"


def shown(value: object, limit: int = 40) -> str:
    """A value for a message: quoted as Python would, so on one line, and shortened to about `limit` characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[: limit - 3] + "...")
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
