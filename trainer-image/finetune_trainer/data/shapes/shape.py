"""The interface of all shapes of rows, and what their columns are."""

from collections.abc import Sequence
from typing import Protocol

from finetune_api.data import Columns
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record


class TargetReader(Protocol):
    """Reads what is to be learned from a row."""

    def read(self, cell: object) -> Label:
        """What is in the cell `Record.label`. Raises `UnusableLabel`, which makes the row a bad row."""


class Shape(Protocol):
    """What the rows of one task are."""

    @property
    def roles(self) -> dict[str, str]:
        """Column by role, for the columns that every row must have."""

    def record(self, row: Row) -> Record | Bad:
        """The cells of the roles, cleaned, or the reason why the row can't be used."""

    def reader(self, cells: Sequence[object]) -> TargetReader:
        """What reads the targets; `cells` are those of the training rows."""

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """What there is to tell apart, from the targets of the training rows; asked for after `reader`."""


def with_group(roles: dict[str, str], columns: Columns, group_column: str) -> dict[str, str]:
    """The roles and, where the job names one, the column of groups."""
    group = group_column or columns.group
    return {**roles, "group": group} if group else roles


def rejected(row: Row) -> Bad | None:
    """Why a row of Prodigy is not to be learned: its annotator rejected or skipped what it says."""
    answer = row.values.get("answer")
    if answer in ("reject", "ignore") and {"_input_hash", "_task_hash"} & row.values.keys():
        return Bad(row.place, "the annotator did not accept the row", f"answer is {answer!r}")
    return None
