"""Documentation of API fields for `finetune-trainer explain`, and the JSON schema for `schema`. Pure."""

import re
from textwrap import fill, indent
from typing import Any

from finetune_api.failures import SpecInvalid
from finetune_api.fields import Field, children, fields, parse_path
from finetune_api.job import FineTuneJob
from finetune_api.naming import near_names
from finetune_api.resolved import DEFAULTS, Resolved
from finetune_trainer.manifest.unknown_fields import FAMILIAR, meant_field

_WIDTH = 100
_SURELY = 0.8
"""How alike a name anywhere in the spec must be to be meant: among so many, some are a little alike by chance."""
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_NAMES_OF_THE_KIND = ("finetunejob", "finetunejobs", "ftj")
_RESOLVED = {
    "spec.training.epochs": "epochs",
    "spec.training.learningRate": "learning_rate",
    "spec.training.batchSize": "batch_size",
    "spec.data.maxLength": "max_length",
}
"""Fields whose default depends on task and method, and where it is in `DEFAULTS`."""


def json_schema() -> dict[str, Any]:
    """JSON schema of a whole manifest, for completion and validation in editors."""
    schema = FineTuneJob.model_json_schema(by_alias=True)
    required = ["apiVersion", "kind", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "required": required}


def explain_field(path: str) -> str:
    """Describe the field at `path`: type, meaning, default, bounds and nested fields.

    `path` may leave out `spec` and list indices, and may begin with the kind as for `kubectl explain`:
    `training.epochs`, `spec.data.train[0].uri`, `ftj.spec.method`. A name of transformers, PEFT or TRL stands for the
    field that does the same: `lora_r`. Raises `SpecInvalid` with what was probably meant.
    """
    name = _full_path(path)
    if not name:
        return "\n\n".join(["FineTuneJob <mapping>", _wrapped(_text(FineTuneJob.__doc__)), _below("")])
    field = _known_fields().get(name)
    familiar = FAMILIAR.get(name.removeprefix("spec."), "")
    if field is None and familiar:
        return f"{path} of other trainers is {familiar} here.\n\n{explain_field(familiar)}"
    if field is None:
        raise SpecInvalid(f"there is no field {path}", where="explain", hint=_meant(name))
    parts = [f"{field.path} <{_kind(field)}>", _wrapped(_text(field.description)), _facts(field)]
    return "\n\n".join(filter(None, [*parts, _below(field.path), _defaults_by_method(field.path)]))


def _full_path(path: str) -> str:
    """The path from the root without indices; empty for the root itself."""
    parts = [part for part in re.sub(r"\[\d*\]", "", path.strip()).removesuffix(".").split(".") if part]
    if parts and parts[0].lower() in _NAMES_OF_THE_KIND:
        parts = parts[1:]
    return ".".join(parts if not parts or parts[0] in _TOP else ["spec", *parts])


def _known_fields() -> dict[str, Field]:
    """All fields by path without list markers; a list comes before its items."""
    known: dict[str, Field] = {}
    for path, field in fields().items():
        known.setdefault(path.replace("[]", ""), field)
    return known


def _meant(name: str) -> str:
    """Suggestion for the unknown field `name`: a sibling, else a field anywhere in the spec."""
    try:
        hint = meant_field(parse_path(name))
    except ValueError:
        return "name it like training.epochs"
    if "did you mean" in hint or " is called " in hint:
        return hint
    places = {path.rpartition(".")[2]: path for path in reversed(_known_fields()) if path.startswith("spec.")}
    near = near_names(name.rpartition(".")[2], places, count=1, alike=_SURELY)
    return f"did you mean {places[near[0]]}?" if near else hint.removeprefix("remove it; ")


def _kind(field: Field) -> str:
    """The type in words; choices are listed apart."""
    items = fields().get(f"{field.path}[]")
    if items is not None:
        return f"list of {_kind(items)}"
    return "text" if field.choices else field.kind


def _facts(field: Field) -> str:
    """Default, bounds and choices, one per line."""
    items = fields().get(f"{field.path}[]")
    facts = {
        "default": _default(field),
        "bounds": field.bounds,
        "each": items.bounds if items is not None else "",
        "choices": ", ".join(field.choices),
        "pattern": str(field.schema.get("pattern", "")),
    }
    lines = [f"{name + ':':<9}{text}" for name, text in facts.items() if text]
    return "\n".join(_wrapped(line, hanging=11) for line in lines)


def _default(field: Field) -> str:
    if field.path in _RESOLVED:
        return "by task and method, see below"
    if field.required:
        return "none, it is required"
    if field.default is None:
        return {"object": "", "array": "[]"}.get(field.type, "none")
    return _plain(field.default)


def _plain(value: object) -> str:
    """A value in YAML syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else '""' if value == "" else str(value)


def _below(path: str) -> str:
    """The fields of a mapping, or of each item of a list of mappings, one per line."""
    start = f"{path}." if path else ""
    found = {name: fields()[start + name] for name in children(path)}
    if not found:
        return _below(f"{path}[]") if f"{path}[]" in fields() else ""
    width = max(len(f"{name} <{_kind(field)}>") for name, field in found.items())
    lines = [f"{f'{name} <{_kind(field)}>':<{width}}  {_first_sentence(field)}" for name, field in found.items()]
    return "fields:\n" + "\n".join(_wrapped(line, hanging=width + 4) for line in lines)


def _defaults_by_method(path: str) -> str:
    if path not in _RESOLVED:
        return ""
    rows = [
        (task, method, _resolved(values, path))
        for task, methods in DEFAULTS.items()
        for method, values in methods.items()
    ]
    wide_task, wide_method = (max(len(row[column]) for row in rows) for column in (0, 1))
    table = "\n".join(f"{task:<{wide_task}}  {method:<{wide_method}}  {value}" for task, method, value in rows)
    return "defaults by task and method:\n" + indent(table, "  ")


def _resolved(values: Resolved, path: str) -> str:
    return _plain(getattr(values, _RESOLVED[path]))


def _first_sentence(field: Field) -> str:
    return re.split(r"(?<=[.;:])\s", _text(field.description), maxsplit=1)[0].rstrip(";:")


def _text(description: str | None) -> str:
    """A description on one line."""
    return " ".join((description or "").split())


def _wrapped(line: str, hanging: int = 2) -> str:
    """The line below the heading: indented, and its later rows further."""
    return fill(
        line,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
