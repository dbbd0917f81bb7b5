"""`--set a.b=c`: overrides of file values on the command line."""

from copy import deepcopy
from typing import Any

from finetune_api.failures import ManifestUnreadable, Problem, SpecInvalid
from finetune_api.fields import FieldPath, field_at, format_path, parse_path
from finetune_trainer.manifest.document import Document, compose, convert
from finetune_trainer.manifest.unknown_fields import meant_field

_FIXED = ("apiVersion", "kind", "status")
_FORM = "write it as --set training.epochs=3"


def apply_overrides(document: Document, overrides: list[str]) -> Document:
    """`document` with `overrides` applied in order. Raises `SpecInvalid` with all that can't be set.

    Paths are as in messages (`data.train[0].uri`), below `spec` unless they begin with `metadata`. The value is
    YAML (`[a, b]`, `{min: 0.8}`, `null` to go back to the default), but taken as it is where the field is text.
    """
    problems: list[Problem] = []
    for override in overrides:
        try:
            document = _applied(document, override)
        except SpecInvalid as failure:
            problems += failure.problems
    if problems:
        raise SpecInvalid(*problems)
    return document


def _applied(document: Document, override: str) -> Document:
    where = f"--set {override}"
    key, equals, text = override.partition("=")
    if not equals:
        raise SpecInvalid("has no = between field and value", where=where, hint=_FORM)
    path = _path(key.strip(), where)
    value = _value(path, text, where)
    data = deepcopy(document.data)
    _put(data, path, value.data, where)
    start = len(path)
    places = {other: place for other, place in document.places.items() if other[:start] != path}
    texts = {other: written for other, written in document.texts.items() if other[:start] != path}
    texts |= {(*path, *below): written for below, written in value.texts.items()}
    made = {path[:end]: where for end in range(1, start + 1) if path[:end] not in places}
    return Document(document.name, data, places | made, texts)


def _path(key: str, where: str) -> FieldPath:
    try:
        path = parse_path(key)
    except ValueError as error:
        hint = "name it like training.epochs or data.train[0].uri"
        raise SpecInvalid(f"{key!r} is not a field path", where=where, hint=hint) from error
    if path[0] in _FIXED:
        raise SpecInvalid(f"{path[0]} can't be set", where=where, hint="set fields of spec, or metadata.name")
    if path[0] not in ("spec", "metadata"):
        path = ("spec", *path)
    if field_at(path) is None:
        raise SpecInvalid(f"unknown field {format_path(path)}", where=where, hint=meant_field(path))
    return path


def _value(path: FieldPath, text: str, where: str) -> Document:
    """The value as YAML; text fields need no quotes."""
    declared = field_at(path)
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if declared is not None and declared.type == "string" and not quoted and text not in ("null", "~"):
        return Document(where, text, {}, {})  # type: ignore[arg-type]  # any value, not only a mapping
    try:
        nodes = compose(text, where)
        if len(nodes) > 1:
            raise SpecInvalid("more than one value", where=where, hint="quote the value")
        return convert(nodes[0], where) if nodes else Document(where, None, {}, {})  # type: ignore[arg-type]  # as above
    except ManifestUnreadable as failure:
        message = failure.problems[0].message
        raise SpecInvalid(f"the value {message}", where=where, hint="quote it, or write a list as [a, b]") from failure


def _put(data: Any, path: FieldPath, value: Any, where: str) -> None:
    """Set `path` in `data`, creating missing mappings and at most one list item."""
    for depth, part in enumerate(path):
        _open(data, part, format_path(path[:depth]), where)
        if depth + 1 == len(path):
            data[part] = value
            return
        below = data.get(part) if isinstance(data, dict) else data[part]
        if below is None:
            below = [] if isinstance(path[depth + 1], int) else {}
        data[part] = below
        data = below


def _open(data: Any, part: str | int, path: str, where: str) -> None:
    """Make `part` settable in `data`; a list grows by one item at most."""
    if isinstance(part, str):
        if not isinstance(data, dict):
            raise SpecInvalid(
                f"{path or 'the job'} is not a mapping in the file", where=where, hint=f"fix {path} first"
            )
        return
    if not isinstance(data, list):
        raise SpecInvalid(f"{path} is not a list in the file", where=where, hint=f"fix {path} first")
    if part > len(data):
        hint = f"the next free index is {len(data)}: {path}[{len(data)}]"
        raise SpecInvalid(f"{path} has {len(data)} items", where=where, hint=hint)
    if part == len(data):
        data.append(None)
