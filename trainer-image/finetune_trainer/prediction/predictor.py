"""The interface of all predictors: what is special about one task between an input row and what is said of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from finetune_trainer.data.reading.rows import Bad, Row

InputRow = TypeVar("InputRow")


class Prediction(Protocol):
    """What the model says of one row."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what does not apply is left out."""

    def as_flat(self) -> dict[str, Any]:
        """For CSV: one plain value a column, the same columns for all rows of a model."""

    def as_cells(self) -> dict[str, str]:
        """For people: short texts by the name of the column; a column that is empty in all rows is not shown."""


class Predictor(Protocol[InputRow]):
    """A tuned model of one task."""

    @property
    def line_column(self) -> str:
        """Column that a bare line of text on standard input stands for."""

    def roles(self, found: Sequence[str]) -> Mapping[str, str]:
        """Column by role, for the columns that every row must have, where the input has the columns `found`."""

    def read(self, row: Row) -> InputRow | Bad:
        """The cells of the roles, prepared as in training, or the reason why the row can't be used."""

    def predict(self, rows: Sequence[InputRow]) -> Iterator[Prediction]:
        """Predict some rows at once, in their order."""
