"""Lenient parsing of stored and transmitted data of any version; specs of users are parsed strictly.

A field that this version does not know is passed over. A value that it can't read (a new word of an enum, a number
beyond its bounds) is left out together with as little as possible of what is around it.
"""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from finetune_api.renamed import current_names

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]

_MOST_ROUNDS = 32
"""Each round takes away what the one before has found; a value that was hidden by another one shows up later."""
_NEVER_LEFT_OUT = "format"
"""Says what the rest means: with another one, nothing can be read."""


def read_stored(model: type[Model], data: Any) -> Model:
    """Parse JSON data, dropping what is invalid in this version.

    Raises `ValidationError` where what is left makes no `model`.
    """
    data = current_names(model, data)
    for _ in range(_MOST_ROUNDS):
        try:
            return model.model_validate(data, extra="ignore")
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            smaller = _without(data, found)
            if smaller is None:
                raise
            data = smaller
    return model.model_validate(data, extra="ignore")


def read_stored_json(model: type[Model], text: str | bytes) -> Model:
    """Parse JSON text in the same way. Raises `ValidationError`, also for invalid JSON."""
    text = with_current_names(model, text)
    try:
        return model.model_validate_json(text, extra="ignore")
    except ValidationError:
        data = _parsed(text)
        if not isinstance(data, dict):
            raise
        return read_stored(model, data)


def with_current_names(model: type[BaseModel], text: str | bytes) -> str | bytes:
    """JSON text of a `model` of another version under current names; invalid JSON unchanged."""
    data = _parsed(text)
    named = current_names(model, data)
    return text if named == data else json.dumps(named, ensure_ascii=False)


def unknown_fields(model: type[BaseModel], data: Any) -> list[Path]:
    """Paths of non-empty fields of `data` that `model` lacks."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        paths = [detail["loc"] for detail in error.errors(include_url=False) if detail["type"] == "extra_forbidden"]
        return [path for path in paths if _at(data, path)]
    return []


def _parsed(text: str | bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None


def _without(data: Any, errors: Sequence[ErrorDetails]) -> Any:
    """`data` without the erroneous parts; None where that leaves nothing."""
    paths = [_blamed(error) for error in errors]
    if any(not path or path == (_NEVER_LEFT_OUT,) for path in paths):
        return None
    copied = _copy(data)
    for path, error in sorted(zip(paths, errors, strict=True), key=lambda pair: _order(pair[0]), reverse=True):
        _mend(copied, path, error)
    return copied


def _blamed(error: ErrorDetails) -> Path:
    """Path of the part to drop: the value, or the parent of a missing one."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    return path[:-1] if error["type"] == "missing" else path


def _mend(data: Any, path: Path, error: ErrorDetails) -> None:
    """Truncate what is too long, keeping the newest (last) items, and drop what is invalid otherwise."""
    *above, last = path
    holder = _at(data, tuple(above))
    if not isinstance(holder, dict | list) or (isinstance(holder, dict) and last not in holder):
        return
    if isinstance(holder, list) and not (isinstance(last, int) and last < len(holder)):
        return
    limit = (error.get("ctx") or {}).get("max_length")
    if error["type"] in {"too_long", "string_too_long"} and isinstance(limit, int):
        value = holder[last]  # type: ignore[index]  # an index for lists, a key for mappings
        holder[last] = dict(list(value.items())[:limit]) if isinstance(value, dict) else _cut(value, limit)  # type: ignore[index]
    else:
        del holder[last]  # type: ignore[arg-type]  # as above


def _cut(value: Any, limit: int) -> Any:
    return value[:limit] if isinstance(value, str) else value[-limit:]


def _order(path: Path) -> tuple[tuple[int, str], ...]:
    """Errors in later list items first, so that earlier indices stay valid."""
    return tuple((part, "") if isinstance(part, int) else (-1, part) for part in path)


def _at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
