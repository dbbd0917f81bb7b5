"""Each bound of each field of a spec: the API server and the models refuse the same values by the same name."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from finetune_api.fields import Field, fields, format_path, parse_path
from finetune_api.job import FineTuneJob
from finetune_api.method import BLOCKS
from finetune_api.naming import near_names

if TYPE_CHECKING:
    from control_plane import ControlPlane

pytestmark = pytest.mark.timeout(1800)  # the first test on a machine may have to build the API server

JOBS = "/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs?dryRun=All&fieldValidation=Strict"
ROW = {"uri": "file://rows.csv"}
AROUND: dict[str, Any] = {
    "spec": {"task": "SequenceClassification", "model": {**ROW}, "data": {"train": [ROW]}, "output": {**ROW}},
    "spec.data.train[0]": ROW,
    "spec.data.validation[0]": ROW,
    "spec.data.test[0]": ROW,
    "spec.evaluation.retention.data[0]": ROW,
    "spec.evaluation.gates[0]": {"metric": "accuracy", "minImprovement": 0},
    "spec.predict": {"input": "file://new.csv"},
}
"""What has to stand beside a field for the rest to be right."""
WRONG_TYPE: dict[str, Any] = {
    "string": 1,
    "integer": "1",
    "number": "1",
    "boolean": "true",
    "array": "a",
    "object": "a",
}

INPUTS = [field for path, field in fields().items() if path.startswith("spec.")]


def test_all_inputs_are_here() -> None:
    assert len(INPUTS) > 140


def refused_values(field: Field) -> Iterator[Any]:
    """Values just beyond each bound of a field."""
    schema = field.schema
    yield WRONG_TYPE[field.type]
    if "enum" in schema:
        yield "Nonsense"
    if field.type in ("integer", "number"):
        yield from (schema[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in schema)
        yield from (schema[key] + beyond for key, beyond in (("minimum", -1), ("maximum", 1)) if key in schema)
    if field.type == "string" and "enum" not in schema:
        yield "x" * (schema["maxLength"] + 1)
        yield from ("",) if schema.get("minLength") else ()
        yield from ("-:",) if "pattern" in schema else ()
    if field.type == "array":
        item = deepcopy(AROUND.get(f"{field.path}[0]", "x"))
        yield [item] * (schema["maxItems"] + 1)
        yield from ([],) if schema.get("minItems") else ()


def with_value(path: str, value: Any) -> dict[str, Any]:
    """A manifest that is right but for `value` at `path`."""
    manifest: dict[str, Any] = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "x"}}
    block = re.match(r"spec\.method\.(\w+)\.", path)
    around = AROUND | ({"spec.method": {"type": near_names(block[1], BLOCKS)[0]}} if block else {})
    node: Any = manifest
    parts = parse_path(path)
    for depth, part in enumerate(parts):
        here = format_path(parts[: depth + 1])
        last = depth + 1 == len(parts)
        fresh: Any = value if last else deepcopy(around.get(here, [] if isinstance(parts[depth + 1], int) else {}))
        if isinstance(part, int):
            node[:] = [fresh]
        elif last or part not in node or here in around:
            node[part] = fresh
        node = node[part]
    return manifest


def python_refuses(manifest: dict[str, Any], path: str) -> bool:
    try:
        FineTuneJob.model_validate_json(json.dumps(manifest), strict=True)
    except ValidationError as refused:
        return path in {format_path(error["loc"]) for error in refused.errors()}
    return False


@pytest.mark.parametrize("field", INPUTS, ids=lambda field: field.path)
def test_both_refuse_what_is_out_of_bounds(field: Field, api_server: "ControlPlane") -> None:
    path = field.path.replace("[]", "[0]")
    for value in refused_values(field):
        manifest = with_value(path, value)
        status, answer = api_server.request("POST", JOBS, manifest)
        assert status == 422, f"{value!r}: {answer}"
        assert re.search(rf"(^|[ \[]){re.escape(path)}: ", answer["message"]), answer["message"]
        assert python_refuses(manifest, path), f"the models take {value!r}"
