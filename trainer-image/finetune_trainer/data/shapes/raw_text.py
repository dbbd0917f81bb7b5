"""`MaskedLM`, and `CausalLM` on raw text: documents."""

from collections.abc import Sequence

from finetune_api.data import Data
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written


class RawText:
    """One document per row."""

    def __init__(self, data: Data, group_column: str, column: str = "text") -> None:
        """Take the column from `spec.data`, `column` where it names none."""
        self.roles = with_group({"text": data.columns.text or column}, data.columns, group_column)
        self._clean = keeping_white_space(data.clean)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        text = cell_text(row, self.roles["text"], self._clean)
        if isinstance(text, Bad):
            return text
        return Record(text, None, "", group_of(row, self.roles), row.place)

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS
