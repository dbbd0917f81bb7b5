"""Tool calls and tool descriptions in the form that transformers' chat templates take."""

from collections.abc import Mapping
from json import loads
from typing import Any

from finetune_trainer.data.reading.rows import shown


class UnusableKey(ValueError):  # noqa: N818 -- a finding about a row, not a defect
    """An invalid key of a message or row; `kind` groups findings."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind, self.detail = kind, detail


def tool_calls(cell: object) -> list[dict[str, Any]]:
    """Calls as `{"type": "function", "function": {"name", "arguments"}}`, arguments as an object.

    Takes OpenAI's form (arguments as JSON text), bare `{"name", "arguments"}`, a single call, and JSON text of these.
    Raises `UnusableKey`.
    """
    value = _parsed(cell, "tool_calls")
    calls = value if isinstance(value, list) else [value]
    return [_call(call) for call in calls]


def tools(cell: object) -> list[dict[str, Any]]:
    """Tools as `{"type": "function", "function": {...}}`; bare descriptions are wrapped.

    Takes lists, a single description, and JSON text of these. Raises `UnusableKey`.
    """
    value = _parsed(cell, "tools")
    return [_tool(tool) for tool in (value if isinstance(value, list) else [value])]


def _parsed(cell: object, key: str) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return loads(cell)
    except (ValueError, RecursionError):
        raise UnusableKey(f"{key} is no JSON", shown(cell)) from None


def _call(call: object) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise UnusableKey("a tool call is no object", shown(call))
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise UnusableKey("a tool call has no name", shown(call))
    around = {key: value for key, value in call.items() if key not in ("function", "name", "arguments", "parameters")}
    given = function.get("arguments", function.get("parameters"))
    inside = {key: value for key, value in function.items() if key not in ("name", "arguments", "parameters", *around)}
    named = {"name": function["name"], **inside, "arguments": _arguments(given)}
    return {"type": "function", **{key: value for key, value in around.items() if value is not None}, "function": named}


def _arguments(cell: object) -> dict[str, Any]:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return {}
    value = cell
    for _ in range(2):  # some data sets encode them twice
        if isinstance(value, str):
            try:
                value = loads(value)
            except (ValueError, RecursionError):
                break
    if not isinstance(value, Mapping):
        raise UnusableKey("arguments of a tool call are no JSON object", shown(cell))
    # Parquet and `datasets` give every call the arguments of all, null where a call has none.
    return {str(key): item for key, item in value.items() if isinstance(cell, str) or item is not None}


def _tool(tool: object) -> dict[str, Any]:
    tool = _parsed(tool, "tools") if isinstance(tool, str) else tool
    if not isinstance(tool, Mapping):
        raise UnusableKey("tools are no list of descriptions", shown(tool))
    function = tool.get("function", tool)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise UnusableKey("a description of a tool has no name", shown(tool))
    if "function" in tool:
        return {"type": "function", **{str(key): value for key, value in tool.items()}}
    return {"type": "function", "function": {str(key): value for key, value in tool.items() if key != "type"}}
