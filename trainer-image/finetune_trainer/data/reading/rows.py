"""Raw rows of a file, before columns have roles."""

from dataclasses import dataclass

from finetune_api.data_report import Place


@dataclass(frozen=True, slots=True)
class Row:
    """One record: cells by column name, and its location."""

    values: dict[str, object]
    place: Place


@dataclass(frozen=True, slots=True)
class Bad:
    """An invalid example. `kind` groups reasons; `detail` is specific to this one."""

    place: Place
    kind: str
    detail: str = ""

    @property
    def reason(self) -> str:
        """Kind and detail as one phrase."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True, slots=True)
class UnclearColumn:
    """Placeholder for cells of a nameless column whose role can't be inferred."""

    role: str
    """What is looked for: `tokens` or `tags`."""
    file: str
    reason: str
    """Why it is unclear."""
    example: str
    """A column that may be meant."""


class Spelled(str):
    """CSV text that programs write for a missing value, but that may be a word or a class."""

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
    """A cell of a text-only format, marked where it may stand for a missing value."""
    return Spelled(cell) if len(cell) < _LONGEST and cell.strip() in MISSING else cell


def at(place: Place) -> str:
    """`file:line`, the location format of editors and terminals."""
    return f"{place.file}:{place.line}"


def shown(value: object, limit: int = 40) -> str:
    """A value for a message: its `repr`, shortened to about `limit` characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[: limit - 3] + "...")
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
