"""The list of addresses knows every place of a spec that names one: held against the schema."""

import re
from typing import Any

import pytest

from finetune_api.addresses import Use, addresses, parent_names
from finetune_api.fields import fields
from finetune_api.spec import Spec

SPEC_FIELDS = [path for path in fields() if path.startswith("spec.")]
JOBS = (Use.MODEL, Use.RESULT, Use.CHECKPOINTS)
SECRET = {"secretRef": {"name": "keys"}}
SOURCE = {"uri": "s3://bucket/place", **SECRET}
EVERYTHING = Spec.model_validate(
    {
        "task": "PolicyOptimization",
        "model": SOURCE,
        "data": {"train": [SOURCE, SOURCE], "validation": [SOURCE], "test": [SOURCE]},
        "method": {"type": "Merge", "merge": {"sources": [SOURCE, {**SOURCE, "uri": "s3://bucket/another"}]}},
        "training": {"policy": {"reward": {"type": "Model", **SOURCE}}},
        "evaluation": {"retention": {"data": [SOURCE]}},
        "checkpoints": {"resumeFrom": SOURCE},
        "output": SOURCE,
        "predict": {"input": "s3://bucket/new.csv", **SECRET},
    }
)


def test_no_block_with_a_secret_is_left_out() -> None:
    with_secret = {path.removesuffix(".secretRef") for path in SPEC_FIELDS if path.endswith(".secretRef")}
    assert {_any_index(address.block) for address in addresses(EVERYTHING)} == with_secret


def test_each_comes_with_its_secret_and_its_path() -> None:
    found = list(addresses(EVERYTHING))
    assert all(address.secret_ref is not None for address in found)
    assert [address.path for address in found if address.use is Use.RESULT] == [
        "spec.method.merge.sources[0].uri",
        "spec.method.merge.sources[1].uri",
        "spec.training.policy.reward.uri",
    ]
    assert [address.path for address in found][-2:] == ["spec.output.uri", "spec.predict.input"]
    assert all(_any_index(address.path) in SPEC_FIELDS for address in found)


def test_every_field_that_may_name_a_job_is_asked_for_it() -> None:
    may = {path for path in SPEC_FIELDS if "finetunejob" in fields()[path].schema.get("pattern", "")}
    assert may == {_any_index(address.path) for address in addresses(EVERYTHING) if address.use in JOBS}
    spec = EVERYTHING.model_dump(mode="json", by_alias=True)
    spec["model"]["uri"] = "finetunejob://one"
    spec["method"]["merge"]["sources"][1]["uri"] = "finetunejob://two"
    spec["training"]["policy"]["reward"]["uri"] = "finetunejob://three"
    spec["checkpoints"]["resumeFrom"]["uri"] = "finetunejob://four"
    assert parent_names(spec) == ("one", "two", "three", "four")
    spec["training"]["policy"]["reward"]["uri"] = "finetunejob://one"
    assert parent_names(spec) == ("one", "two", "four"), "a job that is named twice is waited for once"


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": []},
        {"model": {"uri": 3}},
        {"model": "finetunejob://base"},
        {"model": {"uri": "finetunejob://A/b"}},
        {"method": {"merge": {"sources": "finetunejob://base"}}},
        {"method": {"merge": [{"uri": "finetunejob://base"}]}},
        {"training": {"policy": None}},
    ],
)
def test_odd_specs_name_no_job(spec: dict[str, Any]) -> None:
    assert parent_names(spec) == ()


def _any_index(path: str) -> str:
    return re.sub(r"\[\d+]", "[]", path)
