"""`CausalLM`: raw text, prompts with completions, or chats, by the columns that the job names or the rows have."""

from collections.abc import Collection, Sequence

from finetune_api.data import Data
from finetune_trainer.data.columns import suggest
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record
from finetune_trainer.data.shapes.chats import Chats
from finetune_trainer.data.shapes.prompts import Prompts
from finetune_trainer.data.shapes.raw_text import RawText
from finetune_trainer.data.shapes.text_to_text import Written


class LanguageRows:
    """Rows of the one of three shapes that the columns of the first row show."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._data, self._group_column = data, group_column
        self._shape: RawText | Prompts | Chats | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`."""
        return self._known([]).roles

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        return self._known(row.values).record(row)

    def reader(self, cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return self._known([]).reader(cells)

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`."""
        return self._known([]).space(labels)

    def _known(self, found: Collection[str]) -> RawText | Prompts | Chats:
        if self._shape is None:
            self._shape = self._choose(found)
        return self._shape

    def _choose(self, found: Collection[str]) -> RawText | Prompts | Chats:
        columns = self._data.columns
        if columns.messages or (not _names_another(self._data) and "messages" in found):
            return Chats(self._data, self._group_column)
        if columns.prompt or columns.completion or (not columns.text and _has_completion(found)):
            others = (columns.prompt or "prompt", columns.completion or "completion")
            has_input = bool(columns.input) or ("input" in found and "input" not in others)
            return Prompts(self._data, self._group_column, has_input=has_input)
        return RawText(self._data, self._group_column)


def _names_another(data: Data) -> bool:
    return bool(data.columns.text or data.columns.prompt or data.columns.completion)


def _has_completion(found: Collection[str]) -> bool:
    """Whether a column is called as completions are; what is then missing is told with the names to write."""
    return "text" not in found and bool(suggest("completion", "completion", list(found)))
