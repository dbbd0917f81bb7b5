"""`PolicyOptimization`: prompts or chats to be answered, with the expected answers where there are some."""

from collections.abc import Collection, Sequence

from finetune_api.data import Data
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, Turn, cell_text, group_of
from finetune_trainer.data.shapes.chats import as_text, read_turns
from finetune_trainer.data.shapes.prompts import read_prompt
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written
from finetune_trainer.data.shapes.white_space import keeping_white_space

_ANSWER = "assistant"


class Asked:
    """`prompt` (and `input`) or `messages`, and `completion` where the job names it or the first row has it.

    A chat that ends with a message of the assistant brings its expected answer with it.
    """

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._columns, self._group_column = data.columns, group_column
        self._clean = keeping_white_space(data.clean)
        self._roles: dict[str, str] | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`."""
        return self._choose([]) if self._roles is None else self._roles

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`: the turns are those that are to be answered."""
        if self._roles is None:
            self._roles = self._choose(row.values)
        turns = self._turns(row)
        if isinstance(turns, Bad):
            return turns
        expected: str | Bad = ""
        if turns[-1][0] == _ANSWER:
            turns, expected = turns[:-1], turns[-1][1]
        if "completion" in self.roles:
            expected = cell_text(row, self.roles["completion"], self._clean)
        if isinstance(expected, Bad):
            return expected
        if not turns:
            return Bad(row.place, "the assistant's message answers nothing")
        text = turns[0][1] if "prompt" in self.roles else as_text(turns)
        return Record(text, None, expected, group_of(row, self.roles), row.place, turns=turns)

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: there is nothing to tell apart."""
        return NO_LABELS

    def _turns(self, row: Row) -> tuple[Turn, ...] | Bad:
        if "messages" in self.roles:
            return read_turns(row, self.roles["messages"], self._clean)
        prompt = read_prompt(row, self.roles, self._clean)
        return prompt if isinstance(prompt, Bad) else (("user", prompt),)

    def _choose(self, found: Collection[str]) -> dict[str, str]:
        columns = self._columns
        if columns.messages or (not columns.prompt and "messages" in found):
            roles = {"messages": columns.messages or "messages"}
        else:
            roles = {"prompt": columns.prompt or "prompt"}
            if columns.input or "input" in found:
                roles["input"] = columns.input or "input"
        if columns.completion or "completion" in found:
            roles["completion"] = columns.completion or "completion"
        return with_group(roles, columns, self._group_column)
