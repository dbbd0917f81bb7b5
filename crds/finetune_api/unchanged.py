"""CEL expressions for unchanged fields in updates, across renames."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from finetune_api.renamed import Renames, classes_in, renames_in


def same(path: str, annotation: Any = None) -> str:
    """CEL expression for an unchanged optional field at `path` below the root.

    `annotation` is its type. Where that has renamed fields, first and present names say the same, and so do the default
    that the API server stored under the first name and a field that is left out.
    """
    mine, before = f"self.{path}", f"oldSelf.{path}"
    unchanged = (
        f"(has({mine}) == has({before}) && (!has({mine}) || {mine} == {before}))"  # `.?` has no bound on its cost
    )
    model = _model_with_renames(annotation)
    if model is None:
        return unchanged
    return f"({unchanged} || (has({mine}) && has({before}) && {' && '.join(_same_fields(path, model))}))"


def _model_with_renames(annotation: Any) -> type[BaseModel] | None:
    models = (kind for kind in classes_in(annotation) if issubclass(kind, BaseModel) and renames_in(kind))
    return next(models, None)


def _same_fields(path: str, model: type[BaseModel]) -> Iterator[str]:
    renames = renames_in(model)
    for name, info in model.model_fields.items():
        wire = info.alias or name
        if wire in renames.values or wire in renames.fields.values():
            mine, before = (_value(f"{root}.{path}", wire, info, renames) for root in ("self", "oldSelf"))
            yield f"{mine} == {before}"
        else:
            yield same(f"{path}.{wire}", info.annotation)


def _value(block: str, name: str, info: FieldInfo, renames: Renames) -> str:
    """CEL expression for the value of a field under either name, or for its default."""
    words = renames.values.get(name, {})
    named = f"{block}.{name}"
    for first, present in words.items():
        named = f"({named} == '{first}' ? '{present}' : {named})"
    firsts = [f"{block}.{first}" for first, present in renames.fields.items() if present == name]
    otherwise = "".join(f"has({field}) ? {field} : " for field in firsts)
    return f"(has({block}.{name}) ? {named} : {otherwise}{_default(info)})"


def _default(info: FieldInfo) -> str:
    default = float(info.default) if float in classes_in(info.annotation) else info.default
    return f"'{default}'" if isinstance(default, str) else json.dumps(default)
