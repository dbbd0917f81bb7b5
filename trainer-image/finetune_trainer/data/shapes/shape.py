"""`Shape`, the interface of row shapes: columns by role, conversion of cells, target reader, label space."""

from collections.abc import Sequence
from typing import Protocol

from finetune_api.data import Columns
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record


class TargetReader(Protocol):
    """Parser of training targets."""

    def read(self, cell: object) -> Label:
        """The target in the cell `Record.label`. Raises `UnusableLabel`, which makes the row an invalid example."""


class Shape(Protocol):
    """Row shape of one task."""

    @property
    def roles(self) -> dict[str, str]:
        """Required columns by role."""

    def record(self, row: Row) -> Record | Bad:
        """The cleaned cells of the roles, or the reason the row is invalid."""

    def reader(self, cells: Sequence[object]) -> TargetReader:
        """The target reader; `cells` are those of the training rows."""

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """The label space of the targets of the training rows; called after `reader`."""


def with_group(roles: dict[str, str], columns: Columns, group_column: str) -> dict[str, str]:
    """The roles and, where the job names one, the column of groups."""
    group = group_column or columns.group
    return {**roles, "group": group} if group else roles


def rejected(row: Row) -> Bad | None:
    """Reason to leave out a Prodigy row: its annotator rejected or skipped it."""
    answer = row.values.get("answer")
    if answer in ("reject", "ignore") and {"_input_hash", "_task_hash"} & row.values.keys():
        return Bad(row.place, "the annotator did not accept the row", f"answer is {answer!r}")
    return None
