"""Rules across fields: each has words, points at a field, and both passes and fails something."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from finetune_api.base import ApiModel, Rule
from finetune_api.data import DataSource, Split
from finetune_api.evaluation import Gate
from finetune_api.fields import fields
from finetune_api.job import FineTuneJob
from finetune_api.method import BLOCKS, Method
from finetune_api.model import ModelSource
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType


def subclasses(model: type[ApiModel]) -> list[type[ApiModel]]:
    direct = [below for below in model.__subclasses__() if below.__module__.startswith("finetune_api.")]
    return [found for below in direct for found in (below, *subclasses(below))]


def is_field(model: type[ApiModel], path: str) -> bool:
    first, _, rest = path.partition(".")
    found = {field.alias: field.annotation for field in model.model_fields.values()}.get(first)
    return found is not None and (not rest or (isinstance(found, type) and is_field(found, rest)))


SETTINGS = {MethodType.MERGE: {"sources": [{"uri": "file://a"}, {"uri": "file://b"}]}}
"""Of methods whose block has no default."""
RULES = [(model, rule) for model in subclasses(ApiModel) for rule in model.__dict__.get("rules", ())]


@pytest.mark.parametrize(("model", "rule"), RULES, ids=[f"{model.__name__}: {rule.cel}" for model, rule in RULES])
def test_a_rule_has_words_and_points_at_a_field(model: type[ApiModel], rule: Rule) -> None:
    assert rule.message
    assert len(rule.message) < 200
    assert not rule.field or is_field(model, rule.field)
    assert ("oldSelf" in rule.cel) == (rule.holds is None), "rules about the present have a twin in Python"


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Split, {"validation": 0.5, "test": 0.49}),
        (DataSource, {"uri": "hf://datasets/a/b", "split": "train", "subset": "x", "revision": "main"}),
        (DataSource, {"uri": "file://x"}),
        (ModelSource, {"uri": "hf://a/b", "revision": "main"}),
        (ModelSource, {"uri": "s3://a/b"}),
        (Gate, {"metric": "accuracy", "min": 0.5, "max": 0.5}),
        (Gate, {"metric": "accuracy", "maxRegression": 0}),
        *((Method, {"type": method, block: SETTINGS.get(method, {})}) for method, block in BLOCKS.items()),
    ],
)
def test_rules_accept(model: type[ApiModel], value: dict[str, Any]) -> None:
    model.model_validate(value)


@pytest.mark.parametrize(
    ("model", "value", "field"),
    [
        (Split, {"validation": 0.5, "test": 0.5}, ""),
        (DataSource, {"uri": "file://x", "split": "train"}, ""),
        (DataSource, {"uri": "s3://x/y", "revision": "main"}, ""),
        (ModelSource, {"uri": "s3://a/b", "revision": "main"}, "revision"),
        (Gate, {"metric": "accuracy"}, ""),
        (Gate, {"metric": "accuracy", "min": 0.6, "max": 0.5}, "min"),
    ],
)
def test_rules_reject(model: type[ApiModel], value: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(value)
    (error,) = raised.value.errors()
    assert error["type"] == "rule"
    assert error["ctx"]["field"] == field
    assert [where for where, _ in error["ctx"]["broken"]] == [field]


@pytest.mark.parametrize("method", MethodType)
def test_only_the_block_of_the_method_is_accepted(method: MethodType) -> None:
    blocks = {block: SETTINGS.get(method, {}) for method, block in BLOCKS.items()}
    with pytest.raises(ValidationError) as raised:
        Method.model_validate({"type": method, **blocks})
    (error,) = raised.value.errors()
    assert len(error["ctx"]["broken"]) == len(BLOCKS) - 1, "all broken rules are told at once"
    assert all(str(method) != message.rpartition("type: ")[2] for _, message in error["ctx"]["broken"])


def test_the_spec_is_fixed_but_for_the_run_policy() -> None:
    (rule,) = (rule for rule in FineTuneJob.rules if rule.holds is None)
    fixed = set(re.findall(r"self\.spec\.(\w+) == oldSelf\.spec\.\1\b", rule.cel))
    assert {field.alias for field in Spec.model_fields.values()} - fixed == {"runPolicy"}


def test_models_are_closed_and_immutable() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Split.model_validate({"validaton": 0.1})
    with pytest.raises(ValidationError, match="frozen"):
        Split().seed = 1  # type: ignore[misc]  # the point of the test
    open_models = {model.__name__ for model in subclasses(ApiModel) if model.model_config.get("extra") != "forbid"}
    assert open_models == {"Metadata"}


def test_every_field_of_the_spec_is_described() -> None:
    named = {path: field for path, field in fields().items() if path.startswith("spec.") and not path.endswith("[]")}
    assert [path for path, field in named.items() if not field.description] == []
