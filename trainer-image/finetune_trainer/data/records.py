"""From raw rows to records: the cells of the roles, cleaned, or a reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_api.data import Clean
from finetune_api.report import Place
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.label_cells import is_absent
from finetune_trainer.data.rows import Bad, Row, shown


@dataclass(frozen=True, slots=True)
class Record:
    """A row by its roles. `label` is the raw cell; `pair` and `group` are None where the job names no such column."""

    text: str
    pair: str | None
    label: object
    group: str | None
    place: Place

    @property
    def content(self) -> str:
        """Text and pair as one string."""
        return self.text if self.pair is None else f"{self.text}\n{self.pair}"


def to_record(row: Row, roles: Mapping[str, str], clean: Clean) -> Record | Bad:
    """Pick the cells of `roles` from a row and clean its texts."""
    texts: dict[str, str] = {}
    for role in ("text", "text_pair"):
        if role in roles:
            text = cell_text(row, roles[role], clean)
            if isinstance(text, Bad):
                return text
            texts[role] = text
    if roles["label"] not in row.values:
        return Bad(row.place, "no label")
    group = str(row.values.get(roles["group"], "")) if "group" in roles else None
    return Record(texts["text"], texts.get("text_pair"), row.values[roles["label"]], group, row.place)


def cell_text(row: Row, column: str, clean: Clean) -> str | Bad:
    """The cleaned text of one cell, or why there is none. Prediction reads its input with this too."""
    cell = row.values.get(column)
    if isinstance(cell, (dict, list, tuple, bytes)):
        return Bad(row.place, f"{column} is no text", f"{shown(cell)} is a {type(cell).__name__}")
    if not isinstance(cell, str):
        cell = "" if is_absent(cell) else str(cell)
    if "\0" in cell:
        return Bad(row.place, f"{column} holds a NUL character")
    text = clean_text(cell, clean)
    if not text.strip():
        return Bad(row.place, f"{column} is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Bad(row.place, f"{column} holds broken Unicode", "half of a surrogate pair")
    return text
