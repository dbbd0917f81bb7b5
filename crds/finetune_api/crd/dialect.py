"""JSON schema as pydantic writes it, less what an API server doesn't know and more of what it does."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

from finetune_api.base import ApiModel, Rule
from finetune_api.first_version import is_later
from finetune_api.renamed import FIELDS, VALUES, is_renamed, renamed_message


class KubernetesSchema(GenerateJsonSchema):
    """Writes optional fields without `null`, literals as enums, defaults that say something, and rules as CEL."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:  # noqa: ARG002 -- the signature is pydantic's
        """Keep the order of the models."""
        return value

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """An optional field is one that may be left out; the API server drops an explicit null by itself."""
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """`const` is unknown to an API server; an enum of one word says the same."""
        return {"type": "string", "enum": [str(word) for word in schema["expected"]]}

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """The default to store, if there is one: a number, a switch or a word, in a block that the user has opened.

        Blocks that nobody wrote, and what is empty by default, stay away; whoever reads the object with the models has
        them. Stored with every object, they cost the API server a third of its time for each write.
        """
        default = schema.get("default", NoDefault)
        return NoDefault if default in (None, "", NoDefault) else default

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Add the rules of an API model and the keys of its lists."""
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
        """Keep the words that values had once: the API server then refuses them by their present word."""
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
    """An API server would show them in objects that are stored already, to operators that don't know the field."""
    for name, info in model.model_fields.items():
        if is_later(model, name) or is_renamed(model, name):
            generated["properties"][info.alias or name].pop("default", None)


def _add_first_names(renamed: Mapping[str, str], generated: JsonSchemaValue) -> None:
    """What a schema lacks is pruned in silence: a first name stays, and is refused by the present one."""
    for first, present in renamed.items():
        said = renamed_message(first, present)
        generated["properties"][first] = generated["properties"][present] | {"description": f"Deprecated: {said}."}
        was_there = f"oldSelf.hasValue() && has(oldSelf.value().{first})"
        rule = _only_kept(f"!has(self.{first})", was_there, said) | {"fieldPath": f".{first}"}
        generated.setdefault("x-kubernetes-validations", []).append(rule)


def _only_kept(absent: str, was_there: str, said: str) -> dict[str, Any]:
    """A rule that refuses what is not `absent`, but in objects that were stored with it."""
    return {"rule": f"{absent} || ({was_there})", "message": said, "optionalOldSelf": True}


def _validation(rule: Rule) -> dict[str, Any]:
    validation = {"rule": rule.cel, "message": rule.message}
    more = {"fieldPath": rule.field and f".{rule.field}", "messageExpression": rule.message_cel}
    return validation | {key: value for key, value in more.items() if value}
