"""`PolicyOptimization`: prompts or chats, with expected answers if any."""

from collections.abc import Mapping, Sequence

from finetune_api.data import Data
from finetune_trainer.data.chat import ASSISTANT, Chat
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.chat_rows import ChatReader, holds_messages
from finetune_trainer.data.shapes.layouts import answered_columns, chat_column, input_column, prompt_column
from finetune_trainer.data.shapes.prompts import read_prompt
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written


class PromptsOnly:
    """`prompt` (and `input`) or `messages`, and `completion` where the job names it or the first row has it.

    A chat that ends with a message of the assistant brings its expected answer with it.
    """

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._columns, self._group_column = data.columns, group_column
        self._clean = keeping_white_space(data.clean)
        self._reader = ChatReader(data.columns, self._clean)
        self._roles: dict[str, str] | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`."""
        return self._choose({}) if self._roles is None else self._roles

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`: the turns are those to answer."""
        if self._roles is None:
            self._roles = self._choose(row.values)
        chat = self._chat(row)
        if isinstance(chat, Bad):
            return chat
        expected: str | Bad = ""
        if chat[-1].role == ASSISTANT:
            chat, expected = chat[:-1], chat[-1].text
        if "completion" in self.roles:
            expected = cell_text(row, self.roles["completion"], self._clean)
        if isinstance(expected, Bad):
            return expected
        if not chat:
            return Bad(row.place, "the assistant's message answers nothing")
        text = chat[0].content if len(chat) == 1 and "prompt" in self.roles else chat.text
        return Record(text, None, expected, group_of(row, self.roles), row.place, turns=chat)

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS

    def _chat(self, row: Row) -> Chat | Bad:
        if "messages" in self.roles:
            return self._reader.messages(row, self.roles["messages"])
        prompt = read_prompt(row, self.roles, self._clean)
        return prompt if isinstance(prompt, Bad) else self._reader.prompt(row, prompt)

    def _choose(self, values: Mapping[str, object]) -> dict[str, str]:
        columns = self._columns
        known = {} if columns.prompt else answered_columns(values)
        prompt = columns.prompt or known.get("prompt") or prompt_column(values) or "prompt"
        if columns.messages or (not columns.prompt and chat_column(values)):
            roles = {"messages": columns.messages or chat_column(values)}
        elif holds_messages(values.get(prompt)):
            roles = {"messages": prompt}
        else:
            roles = {"prompt": prompt}
            roles |= {"input": columns.input} if columns.input else input_column(values, roles)
        completion = known.get("completion", "") if "prompt" in roles else ""
        if columns.completion or completion or "completion" in values:
            roles["completion"] = columns.completion or completion or "completion"
        return with_group({**roles, **self._reader.named}, columns, self._group_column)
