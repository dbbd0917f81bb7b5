"""Example values for missing or invalid fields."""

import re

from finetune_api.fields import fields
from finetune_api.metrics import CATALOGUE, suggest_metric
from finetune_api.naming import near_names
from finetune_api.tasks import Task

_MODEL = "hf://sentence-transformers/all-MiniLM-L6-v2"
_ROWS = "file://./train.csv"
_EXAMPLES = {
    "metadata": "metadata: {name: my-first-job}",
    "metadata.name": "name: my-first-job",
    "spec": "spec: {task: ..., model: ..., data: ..., output: ...}",
    "spec.task": f"task: {Task.SEQUENCE_CLASSIFICATION}",
    "spec.model": f"model: {{uri: {_MODEL}}}",
    "spec.model.uri": f"uri: {_MODEL}",
    "spec.data": f"data: {{train: [{{uri: {_ROWS}}}]}}",
    "spec.data.train": f"train: [{{uri: {_ROWS}}}]",
    "spec.evaluation.gates": "gates: [{metric: accuracy, min: 0.8}]",
    "spec.evaluation.gates[].metric": "metric: accuracy",
    "spec.output": "output: {uri: file://./output}",
    "spec.output.uri": "uri: file://./output",
    "spec.predict.input": "input: file://./new.csv",
}
_BY_NAME = {"uri": f"uri: {_ROWS}", "name": "name: my-secret", "names": "names: [billing, refund]"}
_HUB_PAGE = re.compile(r"https?://(?:www\.)?huggingface\.co/")
_SCHEMES = re.compile(r"\^\(([a-z0-9|]+)\)://")


def example_of(path: str) -> str:
    """Text with an example of the field at schema path `path`."""
    name = path.rpartition(".")[2]
    example = _EXAMPLES.get(path) or _BY_NAME.get(name)
    if example:
        return f"for example: {example}"
    field = fields().get(path)
    return f"allowed: {field.bounds or field.kind}" if field else "add it"


def remedy_for_pattern(path: str, given: str, pattern: str) -> str:
    """Fix for the value `given`, which does not match the field's `pattern`."""
    schemes = _SCHEMES.match(pattern)
    if schemes:
        return _meant_uri(path, given, schemes[1].split("|"))
    if path.endswith("metric"):
        return suggest_metric(next(iter(CATALOGUE)), given)
    if path.rpartition(".")[2] in ("name", "namespace", "profile"):
        name = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
        return f"use lower-case letters, digits and hyphens{f': {name[:63]}' if name else ''}"
    return f"it must match {pattern}"


def _meant_uri(path: str, given: str, schemes: list[str]) -> str:
    scheme, separator, rest = given.partition("://")
    allowed = f"allowed: {', '.join(f'{name}://' for name in schemes)}"
    if "hf" in schemes and _HUB_PAGE.match(given):
        return f"did you mean hf://{_HUB_PAGE.sub('', given).strip('/')}?"
    if separator and not rest:
        return f"say what comes after {given}; {allowed}"
    if separator:
        near = near_names(scheme, schemes, count=1)
        return f"did you mean {near[0]}://{rest}? {allowed}" if near else allowed
    file = f"file://{given}" if given.startswith(("/", "./", "../")) else f"file://./{given}"
    if path == "spec.model.uri" and re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", given):
        return f"did you mean hf://{given} or, for a folder, {file}?"
    return f"did you mean {file}? {allowed}"
