"""JSON schema generator for the dialect of API servers: no nulls, enums, CEL rules."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from finetune_api.base import ApiModel, Rule
from finetune_api.first_version import is_later
from finetune_api.renamed import FIELDS, VALUES, is_renamed, renamed_message


class KubernetesSchema(GenerateJsonSchema):
    """Writes optional fields without `null`, literals as enums, meaningful defaults, and rules as CEL."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:  # noqa: ARG002 -- the signature is pydantic's
        """Keep the models' field order."""
        return value

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """An optional field is one that may be left out; the API server drops an explicit null by itself."""
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """`const` is unknown to an API server; an enum of one word says the same."""
        return {"type": "string", "enum": [str(word) for word in schema["expected"]]}

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Default to store, if any: a number, boolean or word, in a block that the user has set.

        Blocks that nobody wrote, and what is empty by default, stay away; whoever reads the object with the models has
        them. Stored with every object, they cost the API server a third of its time for each write.
        """
        default = schema.get("default", NoDefault)
        return NoDefault if default in (None, "", NoDefault) else default

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Add CEL rules and list keys of an API model."""
        generated = super().model_schema(schema)
        model = schema["cls"]
        _leave_out_later_defaults(model, generated)
        if issubclass(model, ApiModel) and model.rules:
            generated["x-kubernetes-validations"] = [_validation(rule) for rule in model.rules]
        for name, keys in getattr(model, "list_map_keys", {}).items():
            generated["properties"][name] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
        _add_first_names(FIELDS.get(model.__name__, {}), generated)
        return generated

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """Keep former names of values, so that the API server rejects them with the current name."""
        generated = super().enum_schema(schema)
        renamed = VALUES.get(schema["cls"].__name__, {})
        if renamed:
            generated["enum"] += renamed
            generated["x-kubernetes-validations"] = [
                _only_kept(f"self != '{first}'", f"oldSelf.orValue('') == '{first}'", renamed_message(first, present))
                for first, present in renamed.items()
            ]
        return generated


def _leave_out_later_defaults(model: type[BaseModel], generated: JsonSchemaValue) -> None:
    """Omit defaults of later fields: they would appear in stored objects for operators that lack the field."""
    for name, info in model.model_fields.items():
        if is_later(model, name) or is_renamed(model, name):
            generated["properties"][info.alias or name].pop("default", None)


def _add_first_names(renamed: Mapping[str, str], generated: JsonSchemaValue) -> None:
    """Keep former field names: unknown fields would be pruned silently, these are rejected with the current name."""
    for first, present in renamed.items():
        said = renamed_message(first, present)
        generated["properties"][first] = generated["properties"][present] | {"description": f"Deprecated: {said}."}
        was_there = f"oldSelf.hasValue() && has(oldSelf.value().{first})"
        rule = _only_kept(f"!has(self.{first})", was_there, said) | {"fieldPath": f".{first}"}
        generated.setdefault("x-kubernetes-validations", []).append(rule)


def _only_kept(absent: str, was_there: str, said: str) -> dict[str, Any]:
    """A rule that rejects other values than `absent`, except in objects stored with them."""
    return {"rule": f"{absent} || ({was_there})", "message": said, "optionalOldSelf": True}


def _validation(rule: Rule) -> dict[str, Any]:
    validation = {"rule": rule.cel, "message": rule.message}
    more = {"fieldPath": rule.field and f".{rule.field}", "messageExpression": rule.message_cel}
    return validation | {key: value for key, value in more.items() if value}
