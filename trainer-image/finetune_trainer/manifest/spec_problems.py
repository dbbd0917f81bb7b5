"""Schema errors as problems with the value, what is allowed, and a fix."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from finetune_api.failures import Problem
from finetune_api.fields import Field, FieldPath, children, field_at, fields, schema_path
from finetune_api.job import FineTuneJob
from finetune_api.naming import near_names
from finetune_api.renamed import first_names_found
from finetune_trainer.manifest.document import Document
from finetune_trainer.manifest.examples import example_of, remedy_for_pattern
from finetune_trainer.manifest.scalars import read_plain
from finetune_trainer.manifest.unknown_fields import meant_field

FAMILIAR_VALUES = {
    "text-classification": "SequenceClassification",
    "sentiment-analysis": "SequenceClassification",
    "classification": "SequenceClassification",
    "ner": "TokenClassification",
    "summarization": "Seq2Seq",
    "translation": "Seq2Seq",
    "text-generation": "CausalLM",
    "sft": "CausalLM",
    "fill-mask": "MaskedLM",
    "dpo": "Preference",
    "ppo": "PolicyOptimization",
    "grpo": "PolicyOptimization",
    "frozen": "FeatureExtraction",
    "full-finetuning": "Full",
    "bfloat16": "BF16",
    "float16": "FP16",
    "float32": "FP32",
}
"""Values from Transformers and PEFT, and the one that means the same here."""

_LONGEST_SHOWN = 60
_Details = tuple[str, str]
"""Message and hint."""


def spec_problems(error: ValidationError, document: Document) -> list[Problem]:
    """Return a problem for each error, in the order of the file."""
    found: list[tuple[FieldPath, Problem]] = []
    for details in error.errors(include_url=False):
        for path, (message, hint) in _explained(details, document):
            found.append((path, Problem(message, document.where(path), hint)))
    found.sort(key=lambda item: _order(document.place(item[0])))
    return [problem for _, problem in found]


def _order(place: int | str) -> tuple[int, int]:
    return (0, place) if isinstance(place, int) else (1, 0)


def _explained(details: ErrorDetails, document: Document) -> Iterator[tuple[FieldPath, _Details]]:
    path: FieldPath = details["loc"]
    kind = details["type"]
    renamed = first_names_found(FineTuneJob, document.data)
    if path in renamed:
        yield path, (renamed[path], "write the present name")
    elif kind == "rule":
        for field, message in details["ctx"]["broken"]:
            below = (*path, *field.split(".")) if field else path
            yield below, _rule(message, document.texts.get(below))
    elif kind == "missing":
        yield path, ("missing, and required", example_of(schema_path(path)))
    elif kind == "extra_forbidden":
        yield path, (f"unknown field {path[-1]}", meant_field(path))
    else:
        explain = _BY_KIND.get(kind, _bounds)
        field_of_path = field_at(path)
        shown = _shown(details["input"], document.texts.get(path))
        yield path, explain(details, field_of_path, shown) if field_of_path else (details["msg"], "")


def _rule(message: str, given: str | None) -> _Details:
    what, _, remedy = message.partition("; ")
    if not remedy:
        what, _, remedy = message.partition(": ")
    return (f"{what} (given {given})" if given else what), remedy


def _choice(details: ErrorDetails, field: Field, shown: str) -> _Details:
    given = str(details["input"])
    familiar = FAMILIAR_VALUES.get(given.lower().replace("_", "-"), "")
    near = [familiar] if familiar in field.choices else near_names(given, field.choices, count=2)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{shown} is not one of the allowed values", f"{meant}allowed: {', '.join(field.choices)}"


def _bounds(_details: ErrorDetails, field: Field, shown: str) -> _Details:
    if field.type == "array" and shown == "[]":
        return "the list is empty", example_of(field.path)
    limits = field.bounds or field.kind
    return f"{shown} is out of bounds", f"allowed: {limits}"


def _length(details: ErrorDetails, field: Field, shown: str) -> _Details:
    length = len(details["input"]) if isinstance(details["input"], str | list) else 0
    if length == 0:
        return "is empty", example_of(field.path)
    what = "items" if field.type == "array" else "characters"
    given = f"{length} {what}" if field.type == "array" else f"{shown} has {length} {what}, and that"
    return f"{given} is out of bounds", f"allowed: {field.bounds}"


def _pattern(details: ErrorDetails, field: Field, shown: str) -> _Details:
    given = str(details["input"])
    pattern = str(details.get("ctx", {}).get("pattern", ""))
    if not given:
        return "is empty", example_of(field.path)
    return f"{shown} can't be used here", remedy_for_pattern(field.path, given, pattern)


def _type(details: ErrorDetails, field: Field, shown: str) -> _Details:
    given = details["input"]
    article = "" if field.type in ("string", "boolean") else "a "
    needed = field.kind if field.choices else f"{article}{field.kind}"
    what = _WHAT[type(given)]
    subject = f"{shown} is {what}" if isinstance(given, str | bool | int | float) else f"{what} is given"
    return f"{subject}, but {needed} is needed", _type_remedy(given, field, shown)


def _type_remedy(given: Any, field: Field, shown: str) -> str:
    if field.type == "string":
        return f'put it in quotes: "{shown}"' if isinstance(given, int | float) else "write text"
    if field.type in ("integer", "number", "boolean"):
        meant = read_plain(given.strip()) if isinstance(given, str) else None
        if isinstance(meant, bool if field.type == "boolean" else int | float):
            return f"remove the quotes: {json.dumps(meant)}"
        return f"allowed: {field.bounds}" if field.bounds else "write true or false"
    if field.type == "array":
        return f"begin each item with a dash, {example_of(field.path)}"
    return _mapping_remedy(given, field)


def _mapping_remedy(given: Any, field: Field) -> str:
    names = children(field.path)
    leading = next((name for name in ("uri", "type", "metric", "name", "input", "train") if name in names), None)
    if isinstance(given, str) and leading:
        pattern = str(fields()[f"{field.path}.{leading}"].schema.get("pattern", ""))
        if re.search(pattern, given):
            return f"did you mean {{{leading}: {given[:_LONGEST_SHOWN]}}}?"
        return f"write a mapping with {leading}; {remedy_for_pattern(f'{field.path}.{leading}', given, pattern)}"
    return f"write a mapping; its fields: {', '.join(names)}"


def _shown(value: Any, text: str | None) -> str:
    """The value as in the file, shortened."""
    if isinstance(value, str) or text is None:
        text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


_WHAT: dict[type, str] = {
    str: "text", bool: "a boolean in YAML", int: "a number", float: "a number", list: "a list", dict: "a mapping",
    type(None): "nothing",
}  # fmt: skip
_BY_KIND: dict[str, Callable[[ErrorDetails, Field, str], _Details]] = {
    "enum": _choice,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _length,
    "string_too_long": _length,
    "too_short": _length,
    "too_long": _length,
    **dict.fromkeys(("int_type", "float_type", "string_type", "bool_type", "list_type", "dict_type"), _type),
    **dict.fromkeys(("model_type", "model_attributes_type", "int_from_float"), _type),
}
