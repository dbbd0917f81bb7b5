import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yaml import safe_load

from finetune_api.manifest import Lineage
from finetune_api.renamed import current_names
from finetune_api.spec import Spec
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.output.lineage import build_lineage, library_versions, spec_digest

SPEC: dict[str, Any] = {
    "task": "SequenceClassification",
    "model": {"uri": "hf://acme/tiny"},
    "data": {"train": [{"uri": "s3://bucket/rows.csv"}]},
    "output": {"uri": "s3://bucket/models"},
}


DATA = Path(__file__).parents[1] / "data"
TABLE = safe_load((DATA / "api_constraints.yaml").read_text("utf-8"))
BEFORE_RENAMING = json.loads((DATA / "renamed_digests.json").read_text())
"""Digests of the rows of that table, by the last version that knew first names only (commit 87eab98)."""
FIRST = {
    name: json.loads((DATA / "first_version" / f"{name}.json").read_text()) for name in ("run_files", "spec_digests")
}


def digest(**changes: Any) -> str:
    return spec_digest(Spec.model_validate({**SPEC, **changes}))


def test_the_digest_of_a_spec_is_of_its_values() -> None:
    reversed_order = {name: SPEC[name] for name in reversed(SPEC)}
    assert digest() == spec_digest(Spec.model_validate(reversed_order))
    assert digest() == digest(training={"seed": 42}), "a default that is written out changes nothing"
    assert digest() == digest(runPolicy={"backoffLimit": 1}), "what may change while it runs changes nothing"


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"seed": 43}},
        {"model": {"uri": "hf://acme/tiny", "revision": "v2"}},
        {"data": {"train": [{"uri": "s3://bucket/others.csv"}]}},
        {"method": {"type": "Full"}},
        {"method": {"lora": {"rank": 9}}},
        {"output": {"uri": "s3://bucket/others"}},
    ],
)
def test_another_spec_has_another_digest(changes: dict[str, Any]) -> None:
    assert digest(**changes) != digest()


def test_the_digest_is_the_same_in_every_process() -> None:
    """Neither the seed of Python's hashes nor the order of anything may enter."""
    program = (
        "import json, sys; from finetune_api.job import Spec; from finetune_trainer.output.lineage import spec_digest; "
        "print(spec_digest(Spec.model_validate(json.loads(sys.argv[1]))))"
    )
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", program, json.dumps(SPEC)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == digest()


@pytest.mark.parametrize("row", TABLE["renamed"], ids=lambda row: row["field"])
def test_the_digest_of_a_renamed_field_is_that_of_its_first_name(row: dict[str, Any]) -> None:
    base = TABLE["base"]["spec"]
    first, present = ({**base, **row[side]["spec"]} for side in ("reject", "accept"))
    assert spec_digest(Spec.model_validate(present)) == BEFORE_RENAMING[row["field"]]
    assert spec_digest(Spec.model_validate(current_names(Spec, first))) == BEFORE_RENAMING[row["field"]]


@pytest.mark.parametrize(("run_file", "spec"), [("train", "plain"), ("check", "gpu"), ("lora", "lora")])
def test_checkpoints_of_the_first_version_are_found(run_file: str, spec: str) -> None:
    stored = current_names(Spec, FIRST["run_files"][run_file]["spec"])
    assert spec_digest(Spec.model_validate(stored)) == FIRST["spec_digests"][spec]


def test_lineage(tiny_model: Callable[..., Path]) -> None:
    spec = Spec.model_validate(SPEC)
    files = ModelFiles("hf://acme/tiny", tiny_model("bert"), "c0ffee")
    lineage = build_lineage(spec, files, "d" * 64)
    weights = hashlib.sha256((files.folder / "model.safetensors").read_bytes()).digest()
    assert lineage == Lineage(
        spec_digest=digest(),
        data_digest="d" * 64,
        model_uri="hf://acme/tiny",
        model_revision="c0ffee",
        model_digest=hashlib.sha256(weights).hexdigest(),
        versions=library_versions(),
    )
    assert {"python", "torch", "transformers", "peft", "finetune-trainer"} <= set(lineage.versions)
