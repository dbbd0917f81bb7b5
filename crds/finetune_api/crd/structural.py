"""Conversion of JSON schema with references to a structural schema of Kubernetes.

The rules are those of "Specifying a structural schema" in the Kubernetes documentation of custom resources.
"""

import re
from typing import Any

Schema = dict[str, Any]

_ORDER = (
    "description", "type", "format", "enum", "default", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties", "maxProperties",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
    "required", "properties", "items", "additionalProperties",
)  # fmt: skip
"""All keywords that a tree may have, in the order of reading: what it is, then its bounds, then its children."""


class NotStructuralError(ValueError):
    """A model has a type that a structural schema can't express. The message names the field."""


def structural(schema: Schema) -> Schema:
    """Inline the references of `schema` and translate each node.

    Raises `NotStructuralError` on types without a structural form: unions, tuples, `Any`, recursive models.
    """
    return _Translation(schema.get("$defs", {})).node(schema, path="", inside=())


def without_defaults(schema: Schema) -> Schema:
    """`schema` without defaults at any depth, for parts that only a controller writes."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: without_defaults(child) for name, child in kept["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = without_defaults(kept[key])
    return kept


def owned_whole(schema: Schema, *, apart: frozenset[str] = frozenset()) -> Schema:
    """`schema` whose blocks, but for those `apart`, are atomic: each has one owner.

    The API server then keeps no books on who owns which field inside of them, which makes each write cheaper.
    """
    whole = {
        name: {**child, "x-kubernetes-map-type": "atomic"} if child["type"] == "object" and name not in apart else child
        for name, child in schema["properties"].items()
    }
    return {**schema, "properties": whole}


class _Translation:
    """Walk over one schema, with its definitions for references."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, declared: Schema, path: str, inside: tuple[str, ...]) -> Schema:
        found, inside = self._inlined(declared, path, inside)
        found.pop("title", None)
        found.pop("$defs", None)
        _replace_exclusive_bounds(found)
        if "description" in found:
            found["description"] = re.sub(r"\s+", " ", found["description"]).strip()
        self._translate_children(found, path, inside)
        _refuse_the_rest(found, path)
        return {key: found[key] for key in _ORDER if key in found}

    def _inlined(self, declared: Schema, path: str, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Inline references; keywords beside one (the field's own description, its default) take precedence."""
        found = dict(declared)
        while "$ref" in found:
            name = found.pop("$ref").rpartition("/")[2]
            if name in inside:
                raise NotStructuralError(f"{path}: {name} contains itself, which a schema without references can't say")
            inside = (*inside, name)
            found = self._definitions[name] | found
        return found, inside

    def _translate_children(self, found: Schema, path: str, inside: tuple[str, ...]) -> None:
        if "properties" in found:
            found.pop("additionalProperties", None)  # unknown fields: pruned, or refused under strict validation
            children = found["properties"].items()
            found["properties"] = {name: self.node(child, f"{path}.{name}", inside) for name, child in children}
        elif isinstance(found.get("additionalProperties"), dict):
            found["additionalProperties"] = self.node(found["additionalProperties"], f"{path}[*]", inside)
        elif found.get("additionalProperties") is False:
            found.pop("additionalProperties")  # a model without fields
        if "items" in found:
            # What is stored in an item that nobody wrote there would be drift for ever: a client replaces whole lists.
            found["items"] = without_defaults(self.node(found["items"], f"{path}[]", inside))
            found.setdefault("x-kubernetes-list-type", "atomic")


def _replace_exclusive_bounds(found: Schema) -> None:
    """Convert `exclusiveMinimum: 0` to `minimum: 0, exclusiveMinimum: true`, the API server's older dialect."""
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in found:
            found[bound] = found[exclusive]
            found[exclusive] = True


def _refuse_the_rest(found: Schema, path: str) -> None:
    unknown = sorted(found.keys() - set(_ORDER))
    if unknown:
        raise NotStructuralError(f"{path}: an API server has no {', '.join(unknown)}; use a plainer type")
    if "type" not in found:
        raise NotStructuralError(f"{path}: has no type; give the field one")
    if found.get("additionalProperties") is True:
        raise NotStructuralError(f"{path}: has values of any type; name their type")
