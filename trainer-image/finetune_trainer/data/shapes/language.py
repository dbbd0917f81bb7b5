"""`CausalLM`: raw text, prompts with completions, or chats, chosen by columns."""

from collections.abc import Mapping, Sequence

from finetune_api.data import Data
from finetune_api.failures import SpecInvalid
from finetune_trainer.data.columns import suggest
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row, at
from finetune_trainer.data.records import Record
from finetune_trainer.data.shapes.chats import AnsweredChats, Chats
from finetune_trainer.data.shapes.layouts import (
    KTO_ADVICE,
    MESSAGE_ADVICE,
    answered_columns,
    chat_column,
    input_column,
    is_kto,
    is_single_message,
)
from finetune_trainer.data.shapes.messages import is_chat
from finetune_trainer.data.shapes.prompts import Prompts
from finetune_trainer.data.shapes.raw_text import RawText
from finetune_trainer.data.shapes.text_to_text import Written

_Shape = RawText | Prompts | Chats | AnsweredChats


class LanguageRows:
    """Rows of the shape that the columns of the first row show."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._data, self._group_column = data, group_column
        self._shape: _Shape | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`."""
        return self._known({}).roles

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`.

        Raises `SpecInvalid` for rows of single answers that are judged good or bad, and of single messages.
        """
        if self._shape is None and not self._names_some:
            _check_layout(row)
        return self._known(row.values).record(row)

    def reader(self, cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return self._known({}).reader(cells)

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`."""
        return self._known({}).space(labels)

    @property
    def _names_some(self) -> bool:
        columns = self._data.columns
        return bool(columns.messages or columns.text or columns.prompt or columns.completion)

    def _known(self, values: Mapping[str, object]) -> _Shape:
        if self._shape is None:
            self._shape = self._choose(values)
        return self._shape

    def _choose(self, values: Mapping[str, object]) -> _Shape:
        columns, data, group = self._data.columns, self._data, self._group_column
        if columns.messages or (not self._names_some and chat_column(values)):
            return Chats(data, group, chat_column(values) or "messages")
        if columns.text:
            return RawText(data, group)
        roles = self._answered(values)
        if roles and is_chat(values.get(columns.prompt or roles["prompt"])):
            return AnsweredChats(data, group, roles)
        if roles:
            return Prompts(data, group, roles)
        only_completion = "completion" in values and not columns.completion
        return RawText(data, group, "completion" if only_completion and "text" not in values else "text")

    def _answered(self, values: Mapping[str, object]) -> dict[str, str]:
        """Column by role for prompts with completions; empty for raw text. Missing columns are reported later."""
        columns = self._data.columns
        if not (columns.prompt or columns.completion):
            if "text" in values or set(values) == {"completion"}:
                return {}
            known = answered_columns(values)
            if known or not suggest("completion", "completion", list(values)):
                return {**known, **({"input": columns.input} if known and columns.input else {})}
        roles = {"prompt": columns.prompt or "prompt", "completion": columns.completion or "completion"}
        if columns.input:
            return {**roles, "input": columns.input}
        return {**roles, **(input_column(values, roles) if roles["prompt"] in values else {})}


def _check_layout(row: Row) -> None:
    """Raise `SpecInvalid` for layouts that this task would misread."""
    if is_kto(row.values):
        message = "these rows are answers judged by a label, as KTO learns from: bad ones would be learned too"
        names = (
            f"{{messages: {chats}}}"
            if (chats := chat_column(row.values))
            else "{prompt: prompt, completion: completion}"
        )
        hint = f"{KTO_ADVICE}; to learn all of them, name data.columns: {names}"
        raise SpecInvalid(message, where=at(row.place), hint=hint)
    if is_single_message(row.values):
        message = "these rows are single messages of chats: what they answer would be lost"
        raise SpecInvalid(message, where=at(row.place), hint=MESSAGE_ADVICE)
