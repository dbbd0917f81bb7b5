"""Check that a chat template renders a chat, and every key that matters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from finetune_trainer.data.chat import ASSISTANT, REASONING, Chat, as_json
from finetune_trainer.data.tokenising.chat_rendering import ChatTemplate, TemplateRefusesChat
from finetune_trainer.data.tokenising.chat_rewrites import rewrites
from finetune_trainer.data.tokenising.prompt_formats import ChatPrompt, PromptFormat, Refusal

_CALLS, _TOOLS = "tool_calls", "tools"


@dataclass(frozen=True)
class CheckedChat:
    """Result of rendering one chat."""

    refusal: Refusal | None = None
    """Why the chat can't be used, where that is so."""
    unwritten: tuple[str, ...] = ()
    """Keys of messages and variables that change nothing in the text."""
    rewritten: tuple[str, ...] = ()
    """Messages whose text the template does not write as it is: `changes a system message`."""


def check_chat(chat: Chat, form: PromptFormat) -> CheckedChat:
    """Check that the chat can be rendered, and find keys that are not rendered.

    Tool calls and tools must be, and reasoning where the template never speaks of it; a template may leave out the
    reasoning of earlier messages by itself. A text that is left out or changed is told, unless it is the answer to be
    learned: that has to be there.
    """
    refusal = form.refusal(chat)
    if refusal is not None or not isinstance(form, ChatPrompt):
        variables = () if refusal else tuple(chat.parsed_variables)
        return CheckedChat(refusal, variables)
    answered = chat[-1].role == ASSISTANT
    found = list(rewrites(chat, form.template, to_be_answered=not answered))
    if answered and any(one.message == len(chat) - 1 and one.verb == "leaves out" for one in found):
        detail = "use a template that does, or other rows"
        return CheckedChat(Refusal("the chat template never writes the answer", detail))
    rewritten = tuple(dict.fromkeys(f"{one.verb} {_a(chat[one.message].role)} message" for one in found))
    if not chat.beyond_text:
        return CheckedChat(rewritten=rewritten)
    unwritten = tuple(dict.fromkeys(_unwritten(chat, form.template)))
    for key in unwritten:
        if key in (_CALLS, _TOOLS) or (key in REASONING and not _knows_reasoning(form.template)):
            detail = "use a template that does, or leave them out of the rows"
            return CheckedChat(Refusal(f"the chat template never writes {key}", detail), unwritten)
    return CheckedChat(None, unwritten, rewritten)


def _a(role: str) -> str:
    return f"{'an' if role[:1] in 'aeiou' else 'a'} {role}"


def _knows_reasoning(template: ChatTemplate) -> bool:
    return any(template.mentions(key) for key in REASONING)


def _unwritten(chat: Chat, template: ChatTemplate) -> Iterator[str]:
    """Yield keys whose removal leaves the rendered text unchanged: of single tool calls, or of all messages at once."""
    whole = _text(chat, template)
    for index, turn in enumerate(chat):
        keys = turn.keys
        if _CALLS not in keys:
            continue
        if _text(_without(chat, _CALLS, index), template) == whole:
            yield _CALLS
        elif turn.content.strip() and turn.content.strip() not in (whole or ""):
            yield "content beside tool_calls"
    names = dict.fromkeys(key for turn in chat for key in turn.keys if key not in (_CALLS, "content"))
    yield from (key for key in names if _text(_without(chat, key), template) == whole)
    variables = chat.parsed_variables
    for name in variables:
        left = {key: value for key, value in variables.items() if key != name}
        if _text(Chat(chat.turns, as_json(left)), template) == whole and not _are_named(variables[name], whole, name):
            yield name


def _text(chat: Chat, template: ChatTemplate) -> str | None:
    """The rendered text; None where the template refuses, which is reported elsewhere."""
    try:
        return template.text(chat, to_be_answered=chat[-1].role != ASSISTANT)
    except TemplateRefusesChat:
        return None


def _without(chat: Chat, key: str, at: int | None = None) -> Chat:
    """The chat without a key of the message `at`, or of all messages."""
    turns = []
    for index, turn in enumerate(chat):
        keys = turn.keys
        if key in keys and at in (None, index):
            del keys[key]
        turns.append(turn._replace(more=as_json(keys)))
    return Chat(tuple(turns), chat.variables)


def _are_named(value: Any, text: str | None, name: str) -> bool:
    """Whether the system prompt already describes the tools."""
    return name == _TOOLS and all(tool["function"]["name"] in (text or "") for tool in value)
