"""`Seq2Seq`: a text, or a question with a passage, and a target text."""

from collections.abc import Sequence

from finetune_api.data import Data
from finetune_trainer.data.label_cells import Label, Passage
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.shape import with_group


class Written:
    """Target reader for texts, which are cleaned with their row."""

    def read(self, cell: object) -> Label:
        """See `TargetReader.read`."""
        return Passage(cell)


class TextToText:
    """`input` and `target`; with a column named for one of them, `question`, `context` and `target`."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        columns = data.columns
        asks = bool(columns.question or columns.context)
        sources = ("question", "context") if asks else ("input",)
        roles = {role: getattr(columns, role) or role for role in (*sources, "target")}
        self.roles = with_group(roles, columns, group_column)
        self._sources, self._data = sources, data

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`. The question is the text, its context the pair."""
        texts: list[str] = []
        for role in (*self._sources, "target"):
            text = cell_text(row, self.roles[role], self._data.clean)
            if isinstance(text, Bad):
                return text
            texts.append(text)
        pair = texts[1] if len(texts) > 2 else None
        return Record(texts[0], pair, texts[-1], group_of(row, self.roles), row.place)

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS
