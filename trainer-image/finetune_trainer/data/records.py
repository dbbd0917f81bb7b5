"""Records: rows by role, the same for all tasks."""

from dataclasses import dataclass

from finetune_api.data import Clean
from finetune_api.data_report import Place
from finetune_trainer.data.chat import NO_CHAT, Chat
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.label_cells import is_absent
from finetune_trainer.data.reading.rows import Bad, Row, shown


@dataclass(frozen=True, slots=True)
class Record:
    """A row by its roles. `label` is the raw cell; `pair` and `group` are None where the job names no such column."""

    text: str
    """What is compared to find duplicates: the input as one text."""
    pair: str | None
    label: object
    group: str | None
    place: Place
    words: tuple[str, ...] = ()
    """The input as words (token classification)."""
    turns: Chat = NO_CHAT
    """The input as a chat (causal language models); its system messages are mostly those of many rows."""
    source: int = 0
    """Number of the source among those of its place."""
    prefix: str = ""
    """What the source puts in front of the input. Left out of comparisons for likeness, which it would only blur."""
    difficulty: float = 0.0
    """How hard the row is, where the job names a column for it."""
    split_group: str | None = None
    """What the row belongs to (user, document), where the job keeps such rows on one side of a split."""

    score_margin: float | None = None
    """How much higher the chosen answer of a pair is scored than the rejected one, where the row has both scores."""

    @property
    def compared(self) -> str:
        """Content for near-duplicate detection: without system messages, unless there is nothing else."""
        text, own = self.content, self.turns.own_turns
        for turn in self.turns if len(own) < len(self.turns) else ():
            if turn not in own:
                text = text.replace(f"{turn.role}: {turn.text}", "", 1)
        return text if text.strip() else self.content

    @property
    def content(self) -> str:
        """Text and pair as one string."""
        return self.text if self.pair is None else f"{self.text}\n{self.pair}"


def cell_text(row: Row, column: str, clean: Clean, *, may_be_empty: bool = False) -> str | Bad:
    """The cleaned text of one cell, or the reason it is invalid. Prediction reads inputs with it too."""
    cell = row.values.get(column)
    if isinstance(cell, (list, tuple)) and "." in column and len(set(map(str, cell))) == 1 and isinstance(cell[0], str):
        cell = cell[0]  # a path into a cell leads to a list of one text, as SQuAD's answers.text
    if isinstance(cell, (dict, list, tuple, bytes)) and (cell or isinstance(cell, bytes)):
        return Bad(
            row.place, f"{column} is no text", f"{shown(cell)} is a {type(cell).__name__}{_inside(column, cell)}"
        )
    if not cell and not isinstance(cell, (str, int, float)):
        cell = ""
    if not isinstance(cell, str):
        cell = "" if is_absent(cell) else str(cell)
    if "\0" in cell:
        return Bad(row.place, f"{column} holds a NUL character")
    text = clean_text(cell, clean)
    if not text.strip() and not may_be_empty:
        return Bad(row.place, f"{column} is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Bad(row.place, f"{column} holds broken Unicode", "half of a surrogate pair")
    return text


def _inside(column: str, cell: object) -> str:
    """Path to the first text in a cell, as the end of a message; empty for none."""
    items = cell.items() if isinstance(cell, dict) else enumerate(cell) if isinstance(cell, (list, tuple)) else ()
    found = next((key for key, item in items if isinstance(item, str)), None)
    return "" if found is None else f"; {column}.{found} is a text in it"


def group_of(row: Row, roles: dict[str, str]) -> str | None:
    """The group of a row; None where the job names no such column."""
    return str(row.values.get(roles["group"], "")) if "group" in roles else None
