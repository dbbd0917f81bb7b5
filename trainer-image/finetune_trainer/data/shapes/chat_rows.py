"""`ChatReader`: chats from messages or prompts, with system prompt, history, tools and template variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import loads
from typing import Any

from finetune_api.data import Clean, Columns
from finetune_trainer.data.chat import ASSISTANT, SYSTEM, USER, Chat, Turn, as_json
from finetune_trainer.data.label_cells import as_list, is_absent
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.shapes.messages import is_chat, read_messages
from finetune_trainer.data.shapes.tool_calls import UnusableKey, tools

_SYSTEM = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
_HISTORY = ("history",)
_PASSED_ON = ("documents", "parallel_tool_calls")
"""Columns of chats that a template gets under their own names."""
_TEMPLATE_VARIABLES = "chat_template_kwargs"
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_MEDIA_FILE = re.compile(
    r"^(?:data|https?|s3|gs|file):|\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|mp[34]|wav|flac|ogg|m4a|avi|mov|mkv|webm)$",
    re.IGNORECASE,
)
"""Text that names a file of media, as LLaVA's rows do, or is one."""
_RESERVED = frozenset(
    {
        "conversation", "messages", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize",
        "padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
        "tokenizer_kwargs", "sanitize_control_tokens",
    }
)  # fmt: skip
"""Arguments of `apply_chat_template`."""
_PAIR = 2


@dataclass(frozen=True)
class ChatReader:
    """Builds chats from rows: of their messages, or of a prompt and its context.

    Columns for the system prompt, earlier exchanges and tools are those that the job names, else the ones that data
    sets call so; rows that lack the latter do without.
    """

    columns: Columns
    clean: Clean

    @property
    def named(self) -> dict[str, str]:
        """Columns that the job names, by role; every file must have them."""
        return {role: column for role in ("system", "history", "tools") if (column := getattr(self.columns, role))}

    def messages(self, row: Row, column: str) -> Chat | Bad:
        """The chat in a messages column, with its row's system prompt, tools and variables.

        OpenAI's pairs have messages and tools together in an object, which is then the row.
        """
        cell = row.values.get(column)
        if isinstance(cell, Mapping) and "messages" in cell:
            row, column = Row(dict(cell), row.place), "messages"
        turns = read_messages(row, column, self.clean)
        return turns if isinstance(turns, Bad) else self.around(row, turns)

    def prompt(self, row: Row, text: str) -> Chat | Bad:
        """A user's prompt as a chat, after earlier exchanges if any."""
        return self.around(row, (Turn(USER, text),))

    def around(self, row: Row, turns: tuple[Turn, ...]) -> Chat | Bad:
        """Messages with their row's system prompt, tools and variables."""
        try:
            history = self._history(row)
            if isinstance(history, Bad):
                return history
            system = self._system(row, turns)
            if isinstance(system, Bad):
                return system
            return Chat((*system, *history, *turns), as_json(self._variables(row)))
        except UnusableKey as finding:
            return Bad(row.place, finding.kind, finding.detail)

    def _system(self, row: Row, turns: tuple[Turn, ...]) -> tuple[Turn, ...] | Bad:
        column = self._column(row, self.columns.system, _SYSTEM)
        if not column or is_absent(row.values[column]):
            return ()
        text = cell_text(row, column, self.clean, may_be_empty=True)
        if isinstance(text, Bad):
            return text
        opening = next((turn.content for turn in turns[:1] if turn.role == SYSTEM), None)
        if opening is not None and opening.strip() != text.strip():
            return Bad(row.place, f"{column} and the first message are two system prompts", shown(text))
        return () if opening is not None else (Turn(SYSTEM, text),)

    def _history(self, row: Row) -> tuple[Turn, ...] | Bad:
        column = self._column(row, self.columns.history, _HISTORY)
        cell = row.values[column] if column else None
        if is_absent(cell) or cell in ([], "[]"):
            return ()
        if is_chat(cell):
            return read_messages(row, column, self.clean)
        turns = list[Turn]()
        for pair in as_list(cell) or [None]:
            said = as_list(pair)
            if said is None or len(said) != _PAIR:
                return Bad(row.place, f"{column} is no list of exchanges", f"{shown(cell)}; write [[asked, answered]]")
            for role, text in zip((USER, ASSISTANT), said, strict=True):
                read = cell_text(Row({column: text}, row.place), column, self.clean)
                if isinstance(read, Bad):
                    return read
                turns.append(Turn(role, read))
        return tuple(turns)

    def _variables(self, row: Row) -> dict[str, Any]:
        """Template variables of the row. Raises `UnusableKey`."""
        _check_media(row)
        found: dict[str, Any] = {}
        column = self._column(row, self.columns.tools, _TOOLS)
        if column and not _is_empty(row.values[column]) and (known := tools(row.values[column])):
            found["tools"] = known
        found |= {name: row.values[name] for name in _PASSED_ON if not _is_empty(row.values.get(name))}
        if not _is_empty(further := row.values.get(_TEMPLATE_VARIABLES)):
            found |= _template_variables(further)
        return found

    @staticmethod
    def _column(row: Row, named: str, usual: tuple[str, ...]) -> str:
        """The column that the job names, or the first with a usual name."""
        return next((name for name in ((named,) if named else usual) if name in row.values), "")


def holds_messages(cell: object) -> bool:
    """Whether a cell holds messages, or an object that contains them."""
    return is_chat(cell["messages"] if isinstance(cell, Mapping) and "messages" in cell else cell)


def _is_empty(cell: object) -> bool:
    return is_absent(cell) or cell in ([], {}, "[]", "{}")


def _template_variables(cell: object) -> dict[str, Any]:
    """Raise `UnusableKey` for names that set how a template is applied, which rows may not."""
    found = {key: value for key, value in _object(cell).items() if value is not None}
    if reserved := sorted(_RESERVED & found.keys()):
        raise UnusableKey(f"{_TEMPLATE_VARIABLES} can't set {reserved[0]}", "remove it")
    return found


def _object(cell: object) -> Mapping[str, Any]:
    try:
        value = loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, Mapping):
        raise UnusableKey(f"{_TEMPLATE_VARIABLES} is no object", shown(cell))
    return value


def _check_media(row: Row) -> None:
    for name in _MEDIA:
        cell = row.values.get(name)
        is_file = isinstance(cell, str) and _MEDIA_FILE.search(cell) is not None
        if is_file or (isinstance(cell, (list, dict, bytes)) and not _is_empty(cell)):
            raise UnusableKey(f"a row holds {name}", "the model takes text only; remove the column or these rows")
