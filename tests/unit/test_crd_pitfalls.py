"""The CRD has nothing that an API server rejects, drops or can't bound: one row for each trap, each shown to catch."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from finetune_api.crd.definition import job_schema

Node = dict[str, Any]
PARTS = ("spec", "status")
_KNOWN = {
    "description", "type", "format", "enum", "default", "nullable", "minimum", "exclusiveMinimum", "maximum",
    "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "minProperties",
    "maxProperties", "required", "properties", "items", "additionalProperties", "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
}  # fmt: skip
_PYTHON = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


@dataclass(frozen=True)
class Pitfall:
    """`caught` tells whether a node has it; `bad` is the smallest node that has."""

    name: str
    caught: Callable[[Node], bool]
    bad: Node


def bounded_text(**more: Any) -> Node:
    return {"type": "string", "maxLength": 8, "description": "x", **more}


def _keys_are_not_required(node: Node) -> bool:
    keys = set(node.get("x-kubernetes-list-map-keys", ()))
    return not keys <= set(node.get("items", {}).get("required", ()))


def _rule_points_nowhere(node: Node) -> bool:
    rules = node.get("x-kubernetes-validations", ())
    return any(rule.get("fieldPath", "")[1:].split(".")[0] not in ("", *node.get("properties", {})) for rule in rules)


def _rule_reads_an_unknown_field(node: Node) -> bool:
    cel = " ".join(rule["rule"] for rule in node.get("x-kubernetes-validations", ()))
    cel = re.sub(r"oldSelf\.(hasValue|orValue|value)\(.*?\)", "oldSelf", cel)  # of a rule with optionalOldSelf
    return not set(re.findall(r"\b(?:self|oldSelf)\.(\w+)", cel)) <= node.get("properties", {}).keys()


def _default_is_not_of_the_type(node: Node) -> bool:
    default = node.get("default")
    wrong_kind = isinstance(default, bool) != (node.get("type") == "boolean")
    return "default" in node and (not isinstance(default, _PYTHON.get(node.get("type", ""), ())) or wrong_kind)


PITFALLS = [
    Pitfall("references are forbidden", lambda n: "$ref" in n, {"$ref": "#/$defs/Split"}),
    Pitfall("definitions are forbidden", lambda n: "$defs" in n or "definitions" in n, {"$defs": {}}),
    Pitfall("nodes without a type", lambda n: "type" not in n, {"description": "anything"}),
    Pitfall("the type null", lambda n: n.get("type") == "null", {"type": "null"}),
    Pitfall("lists of types", lambda n: isinstance(n.get("type"), list), {"type": ["string", "null"]}),
    Pitfall(
        "junctors",
        lambda n: bool({"anyOf", "oneOf", "allOf", "not"} & n.keys()),
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    Pitfall("discriminators", lambda n: "discriminator" in n, {"discriminator": {"propertyName": "type"}}),
    Pitfall("const", lambda n: "const" in n, bounded_text(const="s3")),
    Pitfall("titles", lambda n: "title" in n, bounded_text(title="Uri")),
    Pitfall("unique items", lambda n: "uniqueItems" in n, {"type": "array", "uniqueItems": True}),
    Pitfall("tuples", lambda n: "prefixItems" in n, {"type": "array", "prefixItems": []}),
    Pitfall(
        "exclusive bounds as numbers",
        lambda n: any(n.get(f"exclusive{end}", True) is not True for end in ("Minimum", "Maximum")),
        {"type": "number", "exclusiveMinimum": 0},
    ),
    Pitfall(
        "exclusive bounds without the bound",
        lambda n: any(f"exclusive{end.title()}" in n and end not in n for end in ("minimum", "maximum")),
        {"type": "number", "exclusiveMaximum": True},
    ),
    Pitfall(
        "closed or open maps",
        lambda n: isinstance(n.get("additionalProperties"), bool),
        {"additionalProperties": False},
    ),
    Pitfall(
        "maps that are objects too",
        lambda n: {"additionalProperties", "properties"} <= n.keys(),
        {"properties": {}, "additionalProperties": bounded_text()},
    ),
    Pitfall(
        "objects of anything",
        lambda n: n.get("type") == "object" and not {"properties", "additionalProperties"} & n.keys(),
        {"type": "object"},
    ),
    Pitfall("lists of anything", lambda n: n.get("type") == "array" and "items" not in n, {"type": "array"}),
    Pitfall(
        "lists without end",
        lambda n: n.get("type") == "array" and "maxItems" not in n,
        {"type": "array", "items": bounded_text()},
    ),
    Pitfall(
        "maps without end",
        lambda n: "additionalProperties" in n and "maxProperties" not in n,
        {"type": "object", "additionalProperties": bounded_text()},
    ),
    Pitfall(
        "texts without end",
        lambda n: n.get("type") == "string" and not {"maxLength", "enum"} & n.keys() and n.get("format") != "date-time",
        {"type": "string", "pattern": "^s3://"},
    ),
    Pitfall(
        "unknown formats", lambda n: n.get("format", "date-time") != "date-time", bounded_text(format="uri-reference")
    ),
    Pitfall(
        "patterns that RE2 has not",
        lambda n: bool(re.search(r"\(\?[=!<>P]|\\[1-9]|[*+?}][+]", n.get("pattern", ""))),
        bounded_text(pattern=r"^(?!hf://).*$"),
    ),
    Pitfall(
        "patterns without anchors", lambda n: not n.get("pattern", "^$").startswith("^"), bounded_text(pattern="s3")
    ),
    Pitfall("null as a default", lambda n: n.get("default", 0) is None, bounded_text(default=None)),
    Pitfall(
        "defaults beside nullable",
        lambda n: {"default", "nullable"} <= n.keys(),
        bounded_text(default="", nullable=True),
    ),
    Pitfall("nullable: left out says the same", lambda n: "nullable" in n, bounded_text(nullable=True)),
    Pitfall("defaults of another type", _default_is_not_of_the_type, bounded_text(default=1)),
    Pitfall(
        "defaults that are not in the enum",
        lambda n: "default" in n and n["default"] not in n.get("enum", [n["default"]]),
        {"type": "string", "enum": ["LoRA"], "default": "lora"},
    ),
    Pitfall(
        "defaults for what is required",
        lambda n: any("default" in n["properties"][name] for name in n.get("required", ())),
        {"type": "object", "required": ["uri"], "properties": {"uri": bounded_text(default="")}},
    ),
    Pitfall(
        "required fields that don't exist",
        lambda n: not set(n.get("required", ())) <= n.get("properties", {}).keys(),
        {"type": "object", "required": ["url"], "properties": {"uri": bounded_text()}},
    ),
    Pitfall(
        "lists that merge by chance",
        lambda n: n.get("type") == "array" and n.get("x-kubernetes-list-type") not in ("atomic", "map"),
        {"type": "array", "items": bounded_text(), "maxItems": 1},
    ),
    Pitfall(
        "keys of lists that may be missing",
        _keys_are_not_required,
        {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {"type": "object", "properties": {"type": bounded_text()}},
        },
    ),
    Pitfall(
        "rules without words",
        lambda n: not all(rule.get("message") for rule in n.get("x-kubernetes-validations", ())),
        {"type": "object", "x-kubernetes-validations": [{"rule": "true"}]},
    ),
    Pitfall(
        "rules that point at a field that is not there",
        _rule_points_nowhere,
        {
            "type": "object",
            "properties": {"min": {"type": "number"}},
            "x-kubernetes-validations": [{"rule": "true", "message": "x", "fieldPath": ".max"}],
        },
    ),
    Pitfall(
        "rules that read a field that is not there",
        _rule_reads_an_unknown_field,
        {
            "type": "object",
            "properties": {"min": {"type": "number"}},
            "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "x"}],
        },
    ),
    Pitfall(
        "fields without words",
        lambda n: not all(child.get("description") for child in n.get("properties", {}).values()),
        {"type": "object", "properties": {"uri": {"type": "string", "maxLength": 8}}},
    ),
    Pitfall("words over several lines", lambda n: "\n" in n.get("description", ""), bounded_text(description="a\nb")),
    Pitfall(
        "anything else that is not in the dialect", lambda n: bool(n.keys() - _KNOWN), bounded_text(examples=["x"])
    ),
]


def nodes(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}[]")


@pytest.fixture(scope="module")
def schema() -> Node:
    return job_schema()


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda pitfall: pitfall.name)
def test_the_schema_avoids(pitfall: Pitfall, schema: Node) -> None:
    walked = [found for part in PARTS for found in nodes(schema["properties"][part], part)]
    assert [path for path, node in walked if pitfall.caught(node)] == []
    assert len(walked) > 200


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda pitfall: pitfall.name)
def test_the_walk_catches(pitfall: Pitfall) -> None:
    assert pitfall.caught(pitfall.bad)
    deep = {"type": "object", "properties": {"rows": {"type": "array", "items": pitfall.bad}}}
    assert "spec.rows[]" in [path for path, node in nodes(deep, "spec") if pitfall.caught(node)]


def test_no_item_of_a_list_has_a_default(schema: Node) -> None:
    """Clients replace whole lists, and would find them changed at each look."""
    walked = [found for part in PARTS for found in nodes(schema["properties"][part], part)]
    assert [path for path, node in walked if "[]" in path and "default" in node] == []


def test_a_sound_node_falls_into_none() -> None:
    assert [pitfall.name for pitfall in PITFALLS if pitfall.caught(bounded_text(default="", pattern="^a*$"))] == []


def test_nothing_but_the_name_is_said_of_metadata(schema: Node) -> None:
    """An API server refuses more; and none of the top has a default."""
    assert schema["properties"].keys() == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert schema["properties"]["metadata"].keys() == {"type", "properties"}
    assert schema["properties"]["metadata"]["properties"].keys() == {"name"}
    assert schema["properties"]["metadata"]["properties"]["name"]["maxLength"] == 63
    assert schema["required"] == ["spec"]
