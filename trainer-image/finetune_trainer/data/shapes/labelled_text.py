"""`SequenceClassification`: a text, or two, with a label."""

from collections.abc import Sequence

from finetune_api.data import Data
from finetune_api.tasks import ProblemType
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.label_columns import chosen_columns, labels_of_columns
from finetune_trainer.data.labels import LabelReader, LabelSpace, label_reader, label_space
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.shape import rejected, with_group


class LabelledText:
    """Text and label, with second text and group where the job names their columns."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        columns = data.columns
        roles = {"text": columns.text or "text"}
        if columns.labels:
            roles |= {f"labels[{number}]": column for number, column in enumerate(columns.labels)}
        else:
            roles["label"] = columns.label or "label"
        if columns.text_pair:
            roles["text_pair"] = columns.text_pair
        self.roles = with_group(roles, columns, group_column)
        self._data = data
        self._labels = labels_of_columns(data.labels, columns.labels)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        if (refused := rejected(row)) is not None:
            return refused
        texts: dict[str, str] = {}
        for role in ("text", "text_pair"):
            if role in self.roles:
                text = cell_text(row, self.roles[role], self._data.clean)
                if isinstance(text, Bad):
                    return text
                texts[role] = text
        label = self._label(row)
        if isinstance(label, Bad):
            return label
        return Record(texts["text"], texts.get("text_pair"), label, group_of(row, self.roles), row.place)

    def reader(self, cells: Sequence[object]) -> LabelReader:
        """See `Shape.reader`. Raises as `label_reader` does."""
        self._reader = label_reader(self._labels, cells)
        return self._reader

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`. Raises as `label_space` does."""
        return label_space(self._reader, labels)

    def _label(self, row: Row) -> object:
        if not self._data.columns.labels:
            return row.values[self.roles["label"]] if self.roles["label"] in row.values else Bad(row.place, "no label")
        chosen = chosen_columns(row, self._data.columns.labels)
        if isinstance(chosen, Bad) or self._labels.problem_type is not ProblemType.SINGLE_LABEL:
            return chosen
        return chosen[0] if len(chosen) == 1 else Bad(row.place, "not exactly one label", shown(chosen))
