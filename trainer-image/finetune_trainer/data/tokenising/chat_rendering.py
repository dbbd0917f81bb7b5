"""Rendering of chats by a chat template, and its treatment of message keys."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from json import dumps
from typing import TYPE_CHECKING, Any

from finetune_trainer.data.chat import REASONING, Chat, Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, Any]]


class TemplateRefusesChat(ValueError):  # noqa: N818 -- a finding about a row, not a defect
    """Error message of a template for a chat that it can't render."""


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer."""

    tokenizer: "PreTrainedTokenizerBase"

    def text(self, chat: Chat, *, to_be_answered: bool = False) -> str:
        """The rendered text. Raises `TemplateRefusesChat`.

        Templates differ in what they take: where one fails, tool calls are given with arguments as JSON text, and
        missing content as empty text.
        """
        first: TemplateRefusesChat | None = None
        for messages in self._forms(chat):
            try:
                return self._render(messages, chat.parsed_variables, to_be_answered=to_be_answered)
            except TemplateRefusesChat as refusal:
                first = first or refusal
        raise first or TemplateRefusesChat("no messages")

    @cached_property
    def marks_answers(self) -> bool:
        """Whether the template marks assistant text by `{% generation %}`."""
        return re.search(r"{%-?\s*generation\s*-?%}", self.source) is not None

    def answer_spans(self, chat: Chat) -> tuple[str, list[tuple[int, int]]]:
        """The rendered text, and the spans [start, end) of marked answers. Raises `TemplateRefusesChat`."""
        text = self.text(chat)
        for messages in self._forms(chat):
            with suppress(TemplateRefusesChat):
                marked, spans = self._render_marked(messages, chat.parsed_variables)
                if marked == text:
                    return text, spans
        return text, []

    def mentions(self, key: str) -> bool:
        """Whether the template refers to a key at all."""
        return re.search(rf"\b{re.escape(key)}\b", self.source) is not None

    @property
    def source(self) -> str:
        """The template source; all of them where there are several."""
        template = self.tokenizer.chat_template
        return "\n".join(template.values()) if isinstance(template, dict) else str(template or "")

    def _forms(self, chat: Chat) -> Iterator[Messages]:
        """The messages for `apply_chat_template`, in the forms to try in turn."""
        plain = [self._message(turn) for turn in chat]
        yield plain
        calls, absent = any("tool_calls" in message for message in plain), any("content" not in m for m in plain)
        if calls:
            yield [_with_text_arguments(message) for message in plain]
        if absent:
            yield [{"content": "", **message} for message in plain]
        if calls and absent:
            yield [_with_text_arguments({"content": "", **message}) for message in plain]

    def _message(self, turn: Turn) -> dict[str, Any]:
        if not turn.more:
            return {"role": turn.role, "content": turn.content}
        keys = turn.keys
        content = keys.pop("content", turn.content)
        if isinstance(content, list):
            content = [{"type": "text", "text": part} for part in content] if self._takes_parts else turn.content
        for name in REASONING:
            if name in keys and not self.mentions(name):
                other = next((known for known in REASONING if known not in keys and self.mentions(known)), name)
                keys[other] = keys.pop(name)
        return {"role": turn.role, **({} if content is None else {"content": content}), **keys}

    @cached_property
    def _takes_parts(self) -> bool:
        """Whether the template joins content parts itself, rather than printing the list."""
        parts = [{"type": "text", "text": "first-part"}, {"type": "text", "text": "second-part"}]
        try:
            text = self._render([{"role": "user", "content": parts}], {})
        except TemplateRefusesChat:
            return False
        return "first-part" in text and "second-part" in text and not re.search(r"['\"]type['\"]", text)

    def _render(self, messages: Messages, variables: dict[str, Any], *, to_be_answered: bool = False) -> str:
        with _refusals():
            return str(
                self.tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=to_be_answered, **variables
                )
            )

    def _render_marked(self, messages: Messages, variables: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        template = self.tokenizer.get_chat_template(None, variables.get("tools"))
        with _refusals():
            (text,), (spans,) = render_jinja_template(
                conversations=[messages],
                chat_template=template,
                return_assistant_tokens_mask=True,
                **{**self.tokenizer.special_tokens_map, **variables},
            )
        return str(text), [(int(start), int(end)) for start, end in spans]


@contextmanager
def _refusals() -> Iterator[None]:
    """Convert exceptions of templates into `TemplateRefusesChat`."""
    from jinja2 import TemplateError

    try:
        yield
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise TemplateRefusesChat(" ".join(str(error).split())[:200]) from error


def _with_text_arguments(message: dict[str, Any]) -> dict[str, Any]:
    calls = [_call_with_text(call) for call in message.get("tool_calls", ())]
    return {**message, "tool_calls": calls} if calls else message


def _call_with_text(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": dumps(function["arguments"], ensure_ascii=False)}}
