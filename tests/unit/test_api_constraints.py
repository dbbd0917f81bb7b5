"""The table of constraints on the Python side; tests/integration shows the same rows to a real API server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from yaml import safe_load

from finetune_api.base import ApiModel, Rule
from finetune_api.fields import format_path
from finetune_api.job import FineTuneJob
from finetune_api.renamed import FIELDS, VALUES, Renames, current_names, first_names_found, renamed_message, renames_in
from finetune_api.spec import Spec

Manifest = dict[str, Any]
TABLE = safe_load((Path(__file__).parents[1] / "data" / "api_constraints.yaml").read_text("utf-8"))
ROWS = [*TABLE["rules"], *TABLE["bounds"]]


def laid_over(base: Manifest, part: Manifest) -> Manifest:
    return {**base, **{top: {**base[top], **fields} for top, fields in part.items()}}


def parsed(part: Manifest) -> FineTuneJob:
    """Strictly, as an API server reads JSON: a number in quotes is text."""
    return FineTuneJob.model_validate_json(json.dumps(laid_over(TABLE["base"], part)), strict=True)


def complaints(error: ValidationError) -> dict[str, str]:
    """Messages by the field that they name."""
    found = {}
    for detail in error.errors():
        rules = detail.get("ctx", {}).get("broken", [("", detail["msg"])])
        for field, message in rules:
            found[format_path((*detail["loc"], *filter(None, [field])))] = message
    return found


def models(model: type[ApiModel] = ApiModel) -> Iterator[type[ApiModel]]:
    for below in model.__subclasses__():
        yield from (below, *models(below))


def rules() -> set[Rule]:
    return {rule for model in models() if model.__module__.startswith("finetune_api.") for rule in model.rules}


def places(renames: Renames, path: str = "spec") -> Iterator[str]:
    """Paths that are a first name, or may hold one."""
    yield from (f"{path}.{name}" for name in (*renames.fields, *renames.values))
    for name, below in renames.blocks.items():
        yield from places(below, f"{path}.{name}")


def ids(rows: list[Manifest]) -> list[str]:
    return [row.get("says") or row["field"] for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_models_accept(row: Manifest) -> None:
    parsed(row["accept"])


@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_models_reject_and_name_the_field(row: Manifest) -> None:
    with pytest.raises(ValidationError) as refused:
        parsed(row["reject"])
    said = complaints(refused.value)
    assert row["field"] in said
    assert said[row["field"]] == row.get("says", said[row["field"]])


@pytest.mark.parametrize("row", TABLE["changes"], ids=ids(TABLE["changes"]))
def test_both_sides_of_a_change_are_jobs_by_themselves(row: Manifest) -> None:
    parsed(row.get("from", {}))
    parsed(row["accept"])
    assert parsed(row["reject"]).spec != parsed(row.get("from", {})).spec


def test_every_rule_has_a_row() -> None:
    assert {rule.message for rule in rules() if rule.holds} == {row["says"] for row in TABLE["rules"]}
    (fixed,) = (rule for rule in rules() if not rule.holds)
    fields = Spec.model_json_schema()["properties"].keys() - {"runPolicy"}
    said = {fixed.message.replace("all but runPolicy", field) for field in fields}
    assert said == {row["says"] for row in TABLE["changes"]}


@pytest.mark.parametrize("row", TABLE["renamed"], ids=ids(TABLE["renamed"]))
def test_a_first_name_is_read_as_the_present_one_and_refused_by_it(row: Manifest) -> None:
    given = laid_over(TABLE["base"], row["reject"])
    with pytest.raises(ValidationError):
        parsed(row["reject"])
    found = {format_path(path): said for path, said in first_names_found(FineTuneJob, given).items()}
    assert found == {row["field"]: row["says"]}
    assert current_names(FineTuneJob, given) == laid_over(TABLE["base"], row["accept"])


def test_every_renamed_field_and_value_has_a_row() -> None:
    assert sorted(places(renames_in(Spec))) == sorted(row["field"] for row in TABLE["renamed"])
    in_the_spec = {name: names for name, names in FIELDS.items() if name != "Report"}
    tables = [*in_the_spec.values(), *VALUES.values()]
    assert {row["says"] for row in TABLE["renamed"]} == {
        renamed_message(*names) for it in tables for names in it.items()
    }


def test_every_rule_has_words_of_its_own() -> None:
    """Rows find their rule by its message."""
    assert len({rule.message for rule in rules()}) == len({rule.cel for rule in rules()})
