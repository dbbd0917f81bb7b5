"""`SequenceClassification`: a text, or two, and a label."""

from collections.abc import Sequence

from finetune_api.data import Data
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelReader, LabelSpace, label_reader, label_space
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.shape import with_group


class LabelledText:
    """Text and label always, a second text and a group where the job names their columns."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        columns = data.columns
        roles = {"text": columns.text or "text", "label": columns.label or "label"}
        if columns.text_pair:
            roles["text_pair"] = columns.text_pair
        self.roles = with_group(roles, columns, group_column)
        self._data = data

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        texts: dict[str, str] = {}
        for role in ("text", "text_pair"):
            if role in self.roles:
                text = cell_text(row, self.roles[role], self._data.clean)
                if isinstance(text, Bad):
                    return text
                texts[role] = text
        if self.roles["label"] not in row.values:
            return Bad(row.place, "no label")
        label = row.values[self.roles["label"]]
        return Record(texts["text"], texts.get("text_pair"), label, group_of(row, self.roles), row.place)

    def reader(self, cells: Sequence[object]) -> LabelReader:
        """See `Shape.reader`. Raises as `label_reader` does."""
        self._reader = label_reader(self._data.labels, cells)
        return self._reader

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`. Raises as `label_space` does."""
        return label_space(self._reader, labels)
