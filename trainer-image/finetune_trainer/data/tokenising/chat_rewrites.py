"""Changes that a chat template makes to message texts: omitted, reordered or rewritten.

Apart from white space at will, and from JSON, in which some templates write results of tools.
"""

from collections.abc import Iterator
from contextlib import suppress
from json import dumps
from typing import NamedTuple

from finetune_trainer.data.chat import Chat, Turn
from finetune_trainer.data.tokenising.chat_rendering import ChatTemplate, TemplateRefusesChat

_OTHER = "[another text]"


class Rewrite(NamedTuple):
    """A message and how the template changes it."""

    message: int
    """Its place in the chat."""
    verb: str
    """`leaves out`, `moves` or `changes`."""


def rewrites(chat: Chat, template: ChatTemplate, *, to_be_answered: bool) -> Iterator[Rewrite]:
    """Yield the messages whose text the template does not render verbatim, in order.

    Raises `TemplateRefusesChat`.
    """
    whole = template.text(chat, to_be_answered=to_be_answered)
    text, end, is_ordered, places = _spaced(whole), 0, True, dict[int, int]()
    lost = list[Rewrite]()
    for index, turn in enumerate(chat):
        for part in _parts(turn):
            forms = _forms(part)
            behind = [at + len(form) for form in forms if (at := text.find(form, end)) >= 0]
            anywhere = [at for form in forms if (at := text.find(form)) >= 0]
            if not anywhere:
                lost.append(Rewrite(index, _lost(chat, index, template, whole, to_be_answered=to_be_answered)))
                break
            is_ordered, end = is_ordered and bool(behind), min(behind, default=end)
            places.setdefault(index, min(anywhere))
    moved = [] if is_ordered else [Rewrite(index, "moves") for index in places.keys() - _in_order(places)]
    yield from sorted([*lost, *moved])


def _in_order(places: dict[int, int]) -> set[int]:
    """Indices of the longest chain of messages whose texts occur in order; `places` are positions by index."""
    longest, none = dict[int, tuple[int, ...]](), tuple[int, ...]()
    for index, place in places.items():
        before = [chain for other, chain in longest.items() if places[other] < place]
        longest[index] = (*max([none, *before], key=len), index)
    chain = max([none, *longest.values()], key=len)
    return set(chain)


def _forms(part: str) -> list[str]:
    """Variants of a text that templates may render."""
    return list(dict.fromkeys(map(_spaced, (part, dumps(part, ensure_ascii=False)[1:-1], dumps(part)[1:-1]))))


def _lost(chat: Chat, index: int, template: ChatTemplate, whole: str, *, to_be_answered: bool) -> str:
    """What happened to a message whose text does not occur."""
    without = Chat((*chat.turns[:index], *chat.turns[index + 1 :]), chat.variables)
    for other in (_with_other_text(chat, index), without):
        with suppress(TemplateRefusesChat):
            if len(other) and template.text(other, to_be_answered=to_be_answered) == whole:
                return "leaves out"
    return "changes"


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _parts(turn: Turn) -> list[str]:
    """The texts of a message; of tool calls, only the text beside them."""
    keys = turn.keys
    if "tool_calls" in keys:
        return []
    content = keys.get("content", turn.content)
    return [part for part in (content if isinstance(content, list) else [turn.content]) if part.strip()]


def _with_other_text(chat: Chat, index: int) -> Chat:
    turns = list(chat)
    keys = {name: value for name, value in turns[index].keys.items() if name != "content"}
    turns[index] = turns[index]._replace(content=_OTHER, more=dumps(keys) if keys else "")
    return Chat(tuple(turns), chat.variables)
