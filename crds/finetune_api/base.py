"""`ApiModel`, the base of API types: camelCase on the wire, closed, immutable; and cross-field rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Rule:
    """A cross-field constraint, in CEL for the API server and in Python elsewhere.

    `field` is the path below the model (wire names) that an error should point at; empty means the
    model itself. A rule about the old object (`oldSelf`) has no Python twin and sets `holds` to None; `message_cel` may
    then tell more than the message.
    """

    cel: str
    message: str
    field: str = ""
    holds: Callable[[Any], bool] | None = None
    message_cel: str = ""


def unset(path: str) -> str:
    """CEL expression for an omitted or empty text at `path` below `self`: the schema stores no empty text."""
    return f"(!has(self.{path}) || self.{path} == '')"


class ApiModel(BaseModel):
    """Base of all API types. Docstrings of fields become `kubectl explain` texts.

    Raises `pydantic.ValidationError` on unknown fields and on broken rules: one error of type `rule` for each model,
    whose context lists all of its broken rules under `broken` as (field, message).
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        broken = [(rule.field, rule.message) for rule in self.rules if rule.holds is not None and not rule.holds(self)]
        if broken:
            text = "; ".join(message for _, message in broken)
            raise PydanticCustomError("rule", "{message}", {"message": text, "field": broken[0][0], "broken": broken})
        return self


Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""A Kubernetes object name (RFC 1123 subdomain)."""

ShortText = Annotated[str, StringConstraints(max_length=128)]
Uri = Annotated[str, StringConstraints(min_length=6, max_length=1024)]


class SecretReference(ApiModel):
    """A Secret in the job's own namespace. It is mounted as files; the operator never reads it."""

    name: Name
    """Name of the Secret."""
