"""Chat messages in the formats of data sets: OpenAI's (`role`, `content`) and ShareGPT's (`from`, `value`)."""

from collections.abc import Mapping
from typing import Any

from finetune_api.data import Clean
from finetune_trainer.data.chat import ASSISTANT, REASONING, SYSTEM, TOOL, USER, Turn, as_json
from finetune_trainer.data.label_cells import as_list, is_absent
from finetune_trainer.data.list_cells import why_no_list
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.shapes.tool_calls import UnusableKey, tool_calls

ROLES = (SYSTEM, "developer", USER, ASSISTANT, TOOL)
"""Who can speak."""
_OTHER_NAMES = {
    "human": USER,
    "prompter": USER,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "function": TOOL,
    "observation": TOOL,
    "function_response": TOOL,
    "tool_response": TOOL,
    "ipython": TOOL,
    "function_call": ASSISTANT,
    "tool_call": ASSISTANT,
}
"""Names of roles elsewhere: ShareGPT, OpenAssistant, LLaMA-Factory, OpenAI's older files, Llama."""
_CALLING = frozenset({"function_call", "tool_call"})
_SPEAKER, _SAID = ("role", "from"), ("content", "value")
_WEIGHTS = ("weight", "loss", "train", "training")
_OWN = frozenset((*_SPEAKER, *_SAID, *_WEIGHTS, "tool_calls", "function_call", "refusal"))
_MEDIA = ("image", "images", "audio", "video", "videos", "file")


def is_chat(cell: object) -> bool:
    """Whether a cell holds messages: objects with role and content, as a list or as JSON text."""
    items = _listed(cell)
    return bool(items) and all(_is_message(item) for item in items or ())


def _listed(cell: object) -> list[object] | None:
    """The messages in a cell; a single message becomes a list, as LLaMA-Factory stores answers."""
    return [cell] if isinstance(cell, Mapping) and _is_message(cell) else as_list(cell)


def _is_message(item: object) -> bool:
    if not isinstance(item, Mapping) or not any(key in item for key in _SPEAKER):
        return False
    return any(key in item for key in (*_SAID, "tool_calls", "function_call"))


def read_messages(row: Row, column: str, clean: Clean) -> tuple[Turn, ...] | Bad:
    """The messages in a cell: a list of objects, or JSON text. `Bad` for the first invalid one."""
    cell = row.values.get(column)
    if is_absent(cell):
        return Bad(row.place, f"{column} is empty")
    messages = _listed(cell)
    if not messages:
        return Bad(row.place, f"{column} is no list of messages", shown(cell) + why_no_list(cell))
    turns = list[Turn]()
    for message in messages:
        try:
            turn = _turn(message, row, clean)
        except UnusableKey as finding:
            return Bad(row.place, finding.kind, finding.detail)
        if isinstance(turn, Bad):
            return turn
        turns.append(turn)
    return tuple(turns)


def _turn(message: object, row: Row, clean: Clean) -> Turn | Bad:
    if not isinstance(message, Mapping) or not _is_message(message):
        raise UnusableKey("a message lacks role or content", shown(message))
    given = message[next(key for key in _SPEAKER if key in message)]
    role = _role(given)
    said, keys = _said(message, role), _further_keys(message)
    if given in _CALLING:
        keys["tool_calls"], said = tool_calls(said), None
    elif calls := _calls(message):
        keys["tool_calls"] = calls
    parts = list[str]()
    for part in _text_parts(said):
        text = cell_text(Row({"content": part}, row.place), "content", clean, may_be_empty=True)
        if isinstance(text, Bad):
            return text
        parts.append(text)
    if len(parts) > 1:
        keys["content"] = parts
    elif said is None and keys:
        keys["content"] = None
    return Turn(role, "\n".join(parts), as_json(keys), _is_learned(message, role))


def known_role(given: object) -> str:
    """The standard role of a data set's role name, case-insensitively; empty for an unknown one."""
    name = given.strip().lower() if isinstance(given, str) else ""
    role = _OTHER_NAMES.get(name, name)
    return role if role in ROLES else ""


def _role(given: object) -> str:
    role = known_role(given)
    if not role:
        raise UnusableKey("unknown role of a message", f"{shown(given)}; known are {', '.join(ROLES)}, human, gpt")
    return role


def _said(message: Mapping[Any, Any], role: str) -> object:
    """The text of a message: its content, or its refusal."""
    said = next((message[key] for key in _SAID if key in message), None)
    refused = message.get("refusal")
    if not refused:
        return said
    if role != ASSISTANT or not is_absent(said):
        raise UnusableKey("a message has content and a refusal", shown(refused))
    return refused


def _further_keys(message: Mapping[Any, Any]) -> dict[str, Any]:
    """All other non-empty keys as they are: the template decides what to render."""
    further = {str(key): value for key, value in message.items() if key not in _OWN and not _is_nothing(value)}
    for name in REASONING:
        if name in further and not isinstance(further[name], str):
            raise UnusableKey(f"{name} is no text", shown(further[name]))
    for name in _MEDIA:
        if name in further:
            raise UnusableKey(f"a message holds {name}", "the model takes text only")
    return further


def _is_nothing(value: object) -> bool:
    return value is None or value in ("", [], {})


def _calls(message: Mapping[Any, Any]) -> list[dict[str, Any]]:
    if not _is_nothing(message.get("tool_calls")):
        return tool_calls(message["tool_calls"])
    return [] if _is_nothing(message.get("function_call")) else tool_calls(message["function_call"])


def _text_parts(said: object) -> list[Any]:
    """The texts of multi-part content, else the content as its only part. Raises `UnusableKey` for media."""
    if isinstance(said, (list, tuple)) and said and all(isinstance(part, Mapping) for part in said):
        return [_text_part(part) for part in said]
    return [said]


def _text_part(part: Mapping[Any, Any]) -> str:
    kind = part.get("type", "text")
    text = part.get("text", part.get("refusal") if kind == "refusal" else None)
    if kind in ("text", "input_text", "output_text", "refusal") and isinstance(text, str):
        return text
    raise UnusableKey(f"a part of a message is no text but {kind}", f"{shown(dict(part))}; the model takes text only")


def _is_learned(message: Mapping[Any, Any], role: str) -> bool:
    """Whether a message is trained on: OpenAI's `weight`, or a truth value under other known keys."""
    for key in _WEIGHTS:
        value = message.get(key)
        if value is None:
            continue
        if value not in (0, 1):  # False and True are 0 and 1
            raise UnusableKey(f"{key} of a message is neither 0 nor 1", shown(value))
        if value and role != ASSISTANT:
            raise UnusableKey(f"{key} 1 on a message of {role}", "only messages of the assistant are learned")
        return bool(value)
    return True
