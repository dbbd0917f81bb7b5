"""Chats: messages with the keys that chat templates know, and template variables."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from json import dumps, loads
from typing import Any, NamedTuple, overload

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
_INSTRUCTING = frozenset({SYSTEM, "developer"})


class Turn(NamedTuple):
    """A message of a chat."""

    role: str
    content: str
    """Its text; text parts are joined by line breaks."""
    more: str = ""
    """Further keys of the message as a JSON object (`tool_calls`, `tool_call_id`, `reasoning_content`); `content` among
    them holds text parts as they came, or null where there is none. Empty for no further key."""
    learned: bool = True
    """Whether an answer may be learned: false for `weight: 0`."""

    @property
    def keys(self) -> dict[str, Any]:
        """The further keys, parsed from JSON."""
        return dict(loads(self.more)) if self.more else {}

    @property
    def text(self) -> str:
        """The message as plain text: reasoning, content, then tool calls as JSON, one per line."""
        if not self.more:
            return self.content
        keys = self.keys
        reasoning = [str(keys[name]) for name in REASONING if keys.get(name)]
        calls = [dumps(call.get("function", call), ensure_ascii=False) for call in keys.get("tool_calls") or ()]
        return "\n".join(part for part in (*reasoning, self.content, *calls) if part)


REASONING = ("reasoning_content", "thinking", "reasoning")
"""Keys under which a message has the reasoning in front of its content."""


@dataclass(frozen=True, slots=True)
class Chat(Sequence[Turn]):
    """Messages and template variables; slices and extensions keep the variables."""

    turns: tuple[Turn, ...] = ()
    variables: str = ""
    """What the template gets beside the messages, a JSON object: `tools`, `documents`. Empty for nothing."""

    @classmethod
    def of(cls, *turns: Turn | tuple[str, str]) -> "Chat":
        """A chat without variables, from messages or pairs of role and content."""
        return cls(tuple(turn if isinstance(turn, Turn) else Turn(*turn) for turn in turns))

    @overload
    def __getitem__(self, at: int) -> Turn: ...

    @overload
    def __getitem__(self, at: slice) -> "Chat": ...

    def __getitem__(self, at: int | slice) -> "Turn | Chat":
        """A message, or a chat of some with the same variables."""
        return Chat(self.turns[at], self.variables) if isinstance(at, slice) else self.turns[at]

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        """The messages in their order."""
        return iter(self.turns)

    def then(self, *turns: Turn) -> "Chat":
        """The chat extended by further messages."""
        return Chat((*self.turns, *turns), self.variables)

    def answered(self, text: str) -> "Chat":
        """The chat extended by an assistant message."""
        return self.then(Turn(ASSISTANT, text))

    @property
    def parsed_variables(self) -> dict[str, Any]:
        """The variables, parsed."""
        return dict(loads(self.variables)) if self.variables else {}

    @property
    def own_turns(self) -> tuple[Turn, ...]:
        """The messages without system and developer messages, which many rows share."""
        return tuple(turn for turn in self.turns if turn.role not in _INSTRUCTING)

    @property
    def beyond_text(self) -> str:
        """Everything beyond roles and contents (keys, weights, variables) as JSON; empty for nothing."""
        marks = [[turn.more, turn.learned] if turn.more or not turn.learned else 0 for turn in self.turns]
        return dumps([self.variables, marks]) if self.variables or any(marks) else ""

    @property
    def text(self) -> str:
        """The messages as plain text."""
        return "\n".join(f"{turn.role}: {turn.text}" for turn in self.turns)

    def prefixed(self, prefix: str) -> "Chat":
        """The chat with `prefix` in front of the first user message, or of the first message without one."""
        if not prefix or not self.turns:
            return self
        first = next((number for number, turn in enumerate(self.turns) if turn.role == USER), 0)
        turn = self.turns[first]
        parts = turn.keys
        if parts.get("content"):
            parts["content"] = [prefix + parts["content"][0], *parts["content"][1:]]
        changed = turn._replace(content=prefix + turn.content, more=as_json(parts))
        return Chat((*self.turns[:first], changed, *self.turns[first + 1 :]), self.variables)


NO_CHAT = Chat()


def as_json(keys: dict[str, Any]) -> str:
    """Keys as JSON in their original order, in which templates render them; empty for none."""
    return dumps(keys, ensure_ascii=False, default=str) if keys else ""


def chat_columns(chats: Iterable[Chat]) -> tuple[list[str], list[str], list[str]]:
    """Roles, contents and further keys of all messages by chat: what tokens of the chats depend on."""
    known = list(chats)
    roles = [turn.role for chat in known for turn in chat]
    contents = [turn.content for chat in known for turn in chat]
    return roles, contents, [chat.beyond_text for chat in known]


def as_messages(chat: Chat) -> dict[str, Any]:
    """`messages` with all their keys, and the template variables of the chat (`tools`) where there are some."""
    messages = []
    for turn in chat:
        keys = turn.keys
        parts = keys.get("content")
        content = [{"type": "text", "text": part} for part in parts] if parts else turn.content
        messages.append({"role": turn.role, **keys, "content": content})
    return {"messages": messages, **chat.parsed_variables}
