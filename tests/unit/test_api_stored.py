"""Documents of other versions: what this one knows of them is read; what it writes, they can read."""

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field, ValidationError, create_model
from yaml import safe_load

from finetune_api import renamed
from finetune_api.checkpoint import CheckpointManifest
from finetune_api.crd.dialect import KubernetesSchema
from finetune_api.crd.structural import structural
from finetune_api.first_version import is_later, spec_json
from finetune_api.live import Live
from finetune_api.manifest import Manifest
from finetune_api.outcome import Outcome
from finetune_api.output import Compute
from finetune_api.report import Report
from finetune_api.run_file import RunFile
from finetune_api.spec import Spec
from finetune_api.status import Phase, Status
from finetune_api.stored import read_stored, read_stored_json, unknown_fields
from finetune_api.termination import Termination

TABLE = safe_load((Path(__file__).parents[1] / "data" / "api_constraints.yaml").read_text("utf-8"))
FIRST = Path(__file__).parents[1] / "data" / "first_version"
FIELDS = json.loads((FIRST / "fields.json").read_text())
STATUSES = json.loads((FIRST / "statuses.json").read_text())
TERMINATIONS = json.loads((FIRST / "terminations.json").read_text())
LIVE = json.loads((FIRST / "live.json").read_text())


def with_unknown_fields(data: Any) -> Any:
    """The same with one more field in every object but free mappings of numbers and texts."""
    if isinstance(data, dict):
        more = {name: with_unknown_fields(value) for name, value in data.items()}
        is_free = bool(data) and all(isinstance(value, int | float) for value in data.values())
        return more if is_free else {**more, "addedLater": {"on": True}}
    return [with_unknown_fields(item) for item in data] if isinstance(data, list) else data


@pytest.mark.parametrize("name", TERMINATIONS)
def test_an_ending_says_the_same_with_fields_of_a_newer_trainer(name: str) -> None:
    plain = Termination.decode(json.dumps(TERMINATIONS[name]))
    assert plain is not None
    assert Termination.decode(json.dumps(with_unknown_fields(TERMINATIONS[name]))) == plain


@pytest.mark.parametrize("name", STATUSES)
def test_a_status_says_the_same_with_fields_of_a_newer_operator(name: str) -> None:
    status = STATUSES[name]["status"]
    assert read_stored(Status, with_unknown_fields(status)) == Status.model_validate(status)


def test_an_answer_says_the_same_with_fields_of_a_newer_trainer() -> None:
    read = read_stored_json(Live, json.dumps(with_unknown_fields(LIVE)))
    assert read == Live.model_validate(LIVE)


def test_a_value_that_can_not_be_read_takes_little_with_it() -> None:
    status = copy.deepcopy(STATUSES["Suspended"]["status"])
    first = status["attempts"][0]
    status["attempts"] = [{**first, "number": n} for n in range(1, 21)]
    status["attempts"][10]["exitCode"] = 4096
    status["attempts"][12]["number"] = 0
    status["conditions"][1]["status"] = "Perhaps"
    status["parents"] = "none"
    read = read_stored(Status, status)
    kept = [attempt.number for attempt in read.attempts]
    assert kept == [5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20], "the newest that fit, less the broken one"
    assert [a.exit_code for a in read.attempts if a.number == 11] == [None]
    assert len(read.conditions) == len(status["conditions"]) - 1
    assert read.active_seconds == status["activeSeconds"]
    assert read.parents == []


def test_an_ending_keeps_its_result_beside_values_of_a_newer_trainer() -> None:
    newer = copy.deepcopy(TERMINATIONS["succeeded"])
    newer["evaluation"]["metrics"] = {f"class {n}": 0.5 for n in range(80)}
    newer["resolved"]["batchSize"] = "auto"
    newer["data"] = "x" * 1200
    read = Termination.decode(json.dumps(newer))
    assert read is not None
    assert (read.outcome, read.artifacts.digest) == (
        Outcome.SUCCEEDED,
        TERMINATIONS["succeeded"]["artifacts"]["digest"],
    )
    assert (read.resolved, len(read.data)) == (None, 1024)


@pytest.mark.parametrize(
    "document",
    [
        {**LIVE, "format": "finetune.dev/live/v2"},
        {name: value for name, value in LIVE.items() if name != "uid"},
        {**LIVE, "uid": 7},
    ],
)
def test_what_decides_is_never_left_out(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_stored_json(Live, json.dumps(document))


def test_a_phase_of_a_newer_version_is_left_out() -> None:
    assert read_stored(Status, {"phase": "Quantizing", "failures": 2}) == Status(phase=Phase.PENDING, failures=2)


def test_unknown_fields_are_named_where_they_say_something() -> None:
    given = json.loads((FIRST / "specs.json").read_text())["lora"]
    given["training"] |= {"sequenceParallel": True, "quiet": False, "word": ""}
    given["data"]["train"][0]["mirror"] = "s3://b/c"
    assert unknown_fields(Spec, given) == [("data", "train", 0, "mirror"), ("training", "sequenceParallel")]


# What this version writes, read by the first one: its models refused every field that they did not know.


def paths(data: Any, known: Any, at: str = "") -> list[str]:
    """Paths in `data` that the first version did not know."""
    if isinstance(data, list):
        return [path for item in data for path in paths(item, known, f"{at}[]")]
    if not isinstance(data, dict) or known is None:  # a value, or a mapping with names of its own
        return []
    strange = [f"{at}.{name}" for name in data if name not in known]
    return strange + [
        p for name, below in data.items() if name in known for p in paths(below, known[name], f"{at}.{name}")
    ]


@pytest.mark.parametrize("name", ["plain", "lora", "gpu"])
def test_what_the_first_version_could_ask_for_it_can_read(name: str) -> None:
    given = json.loads((FIRST / "specs.json").read_text())[name]
    written = spec_json(Spec.model_validate(given), only_set=True)
    assert written == given, "what was written, and no default"
    assert paths(spec_json(Spec.model_validate(given)), FIELDS["RunFile"]["spec"]) == []


@pytest.mark.parametrize("row", TABLE["renamed"], ids=lambda row: row["field"])
def test_renamed_fields_are_written_for_others_by_their_first_names(row: dict[str, Any]) -> None:
    first, present = ({**TABLE["base"]["spec"], **row[side]["spec"]} for side in ("reject", "accept"))
    assert spec_json(Spec.model_validate(present), only_set=True) == first
    assert read_stored(Spec, first) == Spec.model_validate(present)
    both = {name: {**first[name], **block} if isinstance(block, dict) else block for name, block in present.items()}
    assert renamed.current_names(Spec, both) == present, "where both are given, the present name counts"


def test_a_report_is_read_by_the_first_names_of_its_fields_and_figures() -> None:
    report = {
        "job": "tickets",
        "uid": "1",
        "outcome": "Succeeded",
        "startedAt": "2026-01-01T00:00:00Z",
        "finishedAt": "2026-01-01T00:01:00Z",
        "spec": {},
        "trivial": {"accuracy": 0.5},
        "curves": [{"step": 1, "epoch": 1, "figures": {"meanReward": 0.25, "constantGroups": 0.75}}],
    }
    read = read_stored_json(Report, json.dumps(report))
    assert read.trivial_baseline == {"accuracy": 0.5}
    assert read.curves[0].figures == {"meanReward": 0.25, "zeroVarianceGroups": 0.75}


@pytest.mark.parametrize("model", [Termination, Live, Status, RunFile, CheckpointManifest, Manifest])
def test_documents_have_new_fields_only_where_they_may_be_missing(model: type[Any]) -> None:
    """A new field of what older versions read is None until it says something: None is not written."""
    for name, info in model.model_fields.items():
        if (info.alias or name) not in FIELDS[model.__name__] and model is not Status:
            assert not info.is_required(), f"{model.__name__}.{name}"
            assert not info.get_default(call_default_factory=True), f"{model.__name__}.{name} is written always"


def blocks(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for inner in get_args(annotation) for block in blocks(inner)]


def first_name(model: type[BaseModel], field: str) -> str:
    """Name of the field on the wire in the first version, or its present one."""
    alias = model.model_fields[field].alias or field
    return {present: first for first, present in renamed.FIELDS.get(model.__name__, {}).items()}.get(alias, alias)


def differences(model: type[BaseModel], known: Any, at: str = "") -> list[str]:
    """Fields of which the list of the first version says something else than that version itself."""
    found = []
    for name, info in model.model_fields.items():
        alias, path = first_name(model, name), f"{at}.{name}"
        if not info.is_required() and is_later(model, name) != (alias not in known):
            found.append(path)
        if alias in known and known[alias] is not None:
            found += [other for block in blocks(info.annotation) for other in differences(block, known[alias], path)]
    return found


def test_the_list_of_first_fields_is_that_of_the_first_version() -> None:
    assert differences(Spec, FIELDS["RunFile"]["spec"]) == []


class Newer:
    """A version of two blocks in which one has one more field with a default."""

    compute: type[Any] = create_model("Compute", __base__=Compute, spread=(int, 5))
    spec: type[Any] = create_model("Spec", __base__=Spec, compute=(compute, Field(default_factory=compute)))


def test_a_later_field_counts_only_where_it_says_something() -> None:
    given = json.loads((FIRST / "specs.json").read_text())["gpu"]
    first, newer = Spec.model_validate(given), Newer.spec.model_validate(given)
    assert spec_json(newer) == spec_json(first), "so the digest of a spec outlives the upgrade"
    assert spec_json(newer, only_set=True) == given, "so an older trainer can read it"
    asked = Newer.spec.model_validate({**given, "compute": {**given["compute"], "spread": 6}})
    assert spec_json(asked)["compute"]["spread"] == 6
    assert spec_json(asked, only_set=True)["compute"] == {**given["compute"], "spread": 6}


def test_a_later_field_has_no_default_in_the_crd() -> None:
    """With one, stored objects would change for operators that don't know the field."""
    schema = structural(Newer.spec.model_json_schema(schema_generator=KubernetesSchema))
    compute = schema["properties"]["compute"]["properties"]
    assert compute["gpusPerNode"]["default"] == 0
    assert compute["spread"] == {"type": "integer"}
