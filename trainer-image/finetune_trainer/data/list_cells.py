"""Parsing of lists as text: JSON, Python literals, and NumPy arrays, which have no commas. Pure.

`['a' 'b']` is an array of two texts to NumPy and one text, `'ab'`, to Python, which joins adjacent literals. Cells of
CSV files that pandas or `datasets` wrote from arrays look like this.
"""

import ast
import json
import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>[bBrRuU]{0,2}(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<call>(?:(?:np|numpy)\.)?(?:array|str_|float(?:16|32|64)|u?int(?:8|16|32|64)|bool_?)\()
    | (?P<dtype>,\s*dtype=[\w.<>'"]+(?=\s*\)))
    | (?P<open>[\[({])
    | (?P<close>[\])}])
    | (?P<between>[,:])
    | (?P<other>[^\s\[\](){},:'"]+)""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {
    "nan": "None",
    "NaN": "None",
    "null": "None",
    "true": "True",
    "false": "False",
    "np.True_": "True",
    "np.False_": "False",
    "np.nan": "None",
}
_BRACKETS = (("[", "]"), ("array([", ")"), ("(", ")"))
_CUT = "..."


class NotAListError(Exception):
    """Text that looks like a list and can't be parsed; the message gives the reason."""


def list_in_text(text: str) -> list[object] | None:
    """The list or tuple in `text`; None for anything else."""
    try:
        return _read(text)
    except NotAListError:
        return None


def set_in_text(text: str) -> list[object] | None:
    """Items of a set in Python's notation, in no particular order; None for anything else."""
    bare = text.strip()
    if not (bare.startswith("{") and bare.endswith("}")) or (bare[1:2] not in ("'", '"') and not bare[1:2].isdigit()):
        return None
    found = _evaluated(bare)
    return sorted(found, key=repr) if isinstance(found, set) else None


def why_no_list(cell: object) -> str:
    """Reason why text that looks like a list can't be parsed, as the end of a message; empty for other cells."""
    try:
        if isinstance(cell, str):
            _read(cell)
    except NotAListError as error:
        return f"; {error}"
    return ""


def _read(text: str) -> list[object] | None:
    bare = text.strip()
    if not any(bare.startswith(opens) and bare.endswith(closes) for opens, closes in _BRACKETS):
        return None
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        value = _evaluated(bare)
    return list(value) if isinstance(value, list | tuple) else None


def _evaluated(text: str) -> object:
    """Value of a Python literal; None for anything else. Raises `NotAListError` as `_with_commas` does."""
    try:
        return ast.literal_eval(_with_commas(text))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


@dataclass
class _Level:
    """Content of one pair of brackets."""

    bracket: str
    is_call: bool = False
    after_value: bool = False
    commas: bool = False
    gaps: bool = False
    """Whether values follow one another without a comma, as in a printed array."""


def _with_commas(text: str) -> str:
    """The text as Python source, with commas between all values.

    Raises `NotAListError` for an array that NumPy cut short, and where some commas are missing, `ValueError` for what
    is no list.
    """
    out: list[str] = []
    levels = [_Level("")]
    position, spaced = 0, True
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(text[position])
        position = token.end()
        if token.lastgroup == "space":
            spaced = True
            continue
        _take(token.lastgroup or "", token.group(), levels, out, spaced=spaced)
        spaced = False
    return " ".join(out)


def _take(kind: str, item: str, levels: list[_Level], out: list[str], *, spaced: bool) -> None:
    level = levels[-1]
    if kind in ("text", "other", "open", "call"):
        if item == _CUT:
            raise NotAListError("NumPy left items out (...): write whole lists, as JSON")
        if level.after_value:
            _note_gap(level, spaced=spaced)
            out.append(",")
        level.after_value = True
    if kind in ("open", "call"):
        levels.append(_Level(item[-1], is_call=kind == "call"))
        out.append("(" if kind == "call" else item)
    elif kind == "close":
        _close(levels, out, item)
    elif kind == "between":
        level.commas = level.commas or item == ","
        level.after_value = False
        out.append(item)
    elif kind != "dtype":
        out.append(_WORDS.get(item, item))


def _note_gap(level: _Level, *, spaced: bool) -> None:
    level.gaps = True
    if level.bracket != "[" or not spaced or level.commas:
        raise NotAListError("a comma is missing between two items")


def _close(levels: list[_Level], out: list[str], token: str) -> None:
    level = levels.pop()
    if not levels:
        raise ValueError(token)
    if level.gaps and level.commas:
        raise NotAListError("a comma is missing between two items")
    out.append(token)
