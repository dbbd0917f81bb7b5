"""`Predictor` and `Prediction`, the interface of tasks for prediction."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from finetune_trainer.data.reading.rows import Bad, Row

InputRow = TypeVar("InputRow")


class Prediction(Protocol):
    """Prediction for one row."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without fields that do not apply."""

    def as_flat(self) -> dict[str, Any]:
        """For CSV: one plain value per column, the same columns for all rows of a model."""

    def as_cells(self) -> dict[str, str]:
        """For tables: short texts by column name; columns that are empty in all rows are not shown."""


class Predictor(Protocol[InputRow]):
    """A fine-tuned model of one task."""

    @property
    def line_column(self) -> str:
        """Column name of a bare line of text on standard input."""

    def roles(self, found: Sequence[str]) -> Mapping[str, str]:
        """Required columns by role, for an input with the columns `found`."""

    def read(self, row: Row) -> InputRow | Bad:
        """The model's input from a row, prepared as in training, or the reason the row is invalid."""

    def predict(self, rows: Sequence[InputRow]) -> Iterator[Prediction]:
        """Predict a batch of rows, in their order."""
