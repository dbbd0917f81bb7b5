"""API fields by path, from the models: for messages, `--set`, `explain` and the reference."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from finetune_api.job import FineTuneJob

_TYPES = {"object": "mapping", "array": "list", "string": "text", "integer": "whole number",
          "number": "number", "boolean": "true or false"}  # fmt: skip

FieldPath = tuple[str | int, ...]
"""Names and list indices from the root of the manifest to a value, for example `("spec", "data", "train", 0)`."""


@dataclass(frozen=True)
class Field:
    """One field of the API.

    `path` has wire names, with `[]` for the items of a list: `spec.data.train[].uri`.
    """

    path: str
    type: str
    description: str
    required: bool
    default: Any
    schema: Mapping[str, Any]

    @property
    def choices(self) -> tuple[str, ...]:
        """Allowed values; empty for unrestricted types."""
        return tuple(self.schema.get("enum", ())) or tuple(filter(None, [self.schema.get("const")]))

    @property
    def kind(self) -> str:
        """Type as text."""
        return "one of " + ", ".join(self.choices) if self.choices else _TYPES.get(self.type, self.type)

    @property
    def bounds(self) -> str:
        """Bounds as text: `above 0, at most 10`; empty without any."""
        words = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most",
                 "minLength": "characters at least", "maxLength": "characters at most",
                 "minItems": "items at least", "maxItems": "items at most"}  # fmt: skip
        return ", ".join(f"{word} {_plain(self.schema[key])}" for key, word in words.items() if key in self.schema)


@cache
def fields() -> Mapping[str, Field]:
    """All fields of a FineTuneJob by path, status included, in model order."""
    schema = FineTuneJob.model_json_schema(by_alias=True)
    return MappingProxyType({field.path: field for field in _walk("", schema, schema["$defs"])})


def children(path: str) -> list[str]:
    """Names of the fields directly below `path`; the root is the empty path."""
    start = f"{path}." if path else ""
    below = (other.removeprefix(start) for other in fields() if other.startswith(start))
    return [name for name in below if "." not in name and "[]" not in name]


def field_at(path: FieldPath) -> Field | None:
    """The field of the value at `path`, or None."""
    return fields().get(schema_path(path))


def schema_path(path: FieldPath) -> str:
    """`path` with `[]` for each index, as the keys of `fields`."""
    return re.sub(r"\[\d+\]", "[]", format_path(path))


def format_path(path: FieldPath) -> str:
    """`("spec", "data", "train", 0, "uri")` as `spec.data.train[0].uri`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def parse_path(text: str) -> FieldPath:
    """The reverse of `format_path`. Raises `ValueError` where `text` is not a path."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\[\d{1,6}\])*(\.[A-Za-z0-9_-]+(\[\d{1,6}\])*)*", text):
        raise ValueError(text)
    return tuple(int(number) if number else name for number, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", text))


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _walk(path: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Field]:
    for name, declared in schema.get("properties", {}).items():
        yield from _field(f"{path}.{name}" if path else name, declared, name in schema.get("required", ()), definitions)


def _field(path: str, declared: dict[str, Any], required: bool, definitions: dict[str, Any]) -> Iterator[Field]:
    schema = _resolved(declared, definitions)
    yield Field(
        path=path,
        type=schema.get("type", "object"),
        description=declared.get("description", schema.get("description", "")),
        required=required,
        default=declared.get("default"),
        schema=MappingProxyType(schema),
    )
    if "items" in schema:
        yield from _field(f"{path}[]", schema["items"], True, definitions)
    yield from _walk(path, schema, definitions)


def _resolved(declared: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Schema with references resolved, without the `null` of optional fields."""
    options = [option for option in declared.get("anyOf", [declared]) if option.get("type") != "null"]
    schema: dict[str, Any] = options[0]
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return schema
