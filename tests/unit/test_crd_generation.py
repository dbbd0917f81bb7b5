"""From pydantic models to the dialect of the API server, type by type, and to the checked-in file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, Field, StringConstraints, create_model
from yaml import safe_load

from finetune_api.base import ApiModel, Rule
from finetune_api.crd.__main__ import PATH, main
from finetune_api.crd.definition import custom_resource_definition, job_schema
from finetune_api.crd.dialect import KubernetesSchema
from finetune_api.crd.manifest_text import HEADER, manifest_text
from finetune_api.crd.structural import NotStructuralError, structural, without_defaults
from finetune_api.fields import fields

Text = Annotated[str, StringConstraints(max_length=8)]


class Colour(StrEnum):
    """Words of the class."""

    RED = "Red"
    BLUE = "Blue"


class Inner(ApiModel):
    """Words of the class."""

    size: Annotated[int, Field(ge=1)] = 4
    """Words of the field, wrapped
    over two lines."""


class Ruled(ApiModel):
    """Words of the class."""

    rules = (Rule(cel="self.low < self.high", message="low must be below high", field="low"),)
    low: float = 0
    """Lower end."""
    high: float = 1
    """Upper end."""
    step: float | None = None
    """Between them."""


class Keyed(ApiModel):
    """A list with keys."""

    list_map_keys: ClassVar[dict[str, list[str]]] = {"items": ["name"]}
    items: Annotated[list[Inner], Field(max_length=3)] = Field(default_factory=list)
    """Items."""


class Recursive(ApiModel):
    """Contains itself."""

    child: "Recursive | None" = None
    """Words."""


def translated(model: type[ApiModel]) -> dict[str, Any]:
    return structural(model.model_json_schema(schema_generator=KubernetesSchema))


def field(kind: Any, default: Any = ...) -> dict[str, Any]:
    """The node of a field of the type `kind`."""
    return dict(translated(create_model("Outer", __base__=ApiModel, value=(kind, default)))["properties"]["value"])


INNER = {"type": "integer", "default": 4, "minimum": 1, "description": "Words of the field, wrapped over two lines."}
BELOW_5 = {"maximum": 5, "exclusiveMaximum": True}
WORDS = "Words of the class."


@pytest.mark.parametrize(
    ("kind", "default", "node"),
    [
        (bool, True, {"type": "boolean", "default": True}),
        (Text, "", {"type": "string", "maxLength": 8}),
        (Text, "word", {"type": "string", "maxLength": 8, "default": "word"}),
        (Text | None, None, {"type": "string", "maxLength": 8}),
        (Literal["True", "False"], ..., {"type": "string", "enum": ["True", "False"]}),
        (Literal["s3"], "s3", {"type": "string", "enum": ["s3"], "default": "s3"}),
        (Colour, Colour.RED, {"type": "string", "enum": ["Red", "Blue"], "default": "Red", "description": WORDS}),
        (Colour | None, None, {"type": "string", "enum": ["Red", "Blue"], "description": WORDS}),
        (Annotated[float, Field(gt=0)], ..., {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        (Annotated[int, Field(ge=0, lt=5)], ..., {"type": "integer", "minimum": 0} | BELOW_5),
        (AwareDatetime | None, None, {"type": "string", "format": "date-time"}),
        (
            Annotated[list[Text], Field(max_length=2)],
            Field(default_factory=list),
            {
                "type": "array", "maxItems": 2, "x-kubernetes-list-type": "atomic",
                "items": {"type": "string", "maxLength": 8},
            },
        ),
        (
            Annotated[dict[str, float], Field(max_length=2)],
            Field(default_factory=dict),
            {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "number"}},
        ),
        (Inner, ..., {"type": "object", "properties": {"size": INNER}, "description": WORDS}),
        (Inner | None, None, {"type": "object", "properties": {"size": INNER}, "description": WORDS}),
        (
            Inner,
            Field(default_factory=Inner, description="Words of the field."),
            {"type": "object", "properties": {"size": INNER}, "description": "Words of the field."},
        ),
    ],
)  # fmt: skip
def test_types(kind: Any, default: Any, node: dict[str, Any]) -> None:
    assert field(kind, default) == node


def test_a_block_with_rules() -> None:
    node = field(Ruled, Field(default_factory=Ruled))
    assert "default" not in node
    assert node["x-kubernetes-validations"] == [
        {"rule": "self.low < self.high", "message": "low must be below high", "fieldPath": ".low"}
    ]


def test_keys_of_lists() -> None:
    node = translated(Keyed)["properties"]["items"]
    assert (node["x-kubernetes-list-type"], node["x-kubernetes-list-map-keys"]) == ("map", ["name"])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Any, r"\.value: has no type"),
        (int | str, r"\.value: an API server has no anyOf"),
        (Inner | Ruled, r"\.value: an API server has no anyOf"),
        (tuple[int, str], r"\.value: an API server has no prefixItems"),
        (set[int], r"\.value: an API server has no uniqueItems"),
        (dict[str, Any], r"\.value: has values of any type"),
        (list[dict[str, int | str]], r"\.value\[\]\[\*\]: an API server has no anyOf"),
    ],
)
def test_types_without_a_structural_form_are_refused_by_name(kind: Any, why: str) -> None:
    with pytest.raises(NotStructuralError, match=why):
        field(kind)


def test_recursion_is_refused() -> None:
    with pytest.raises(NotStructuralError, match=r"\.child: Recursive contains itself"):
        translated(Recursive)


LEAVES = st.sampled_from([bool, Text, Colour, Literal["a"], Inner, Ruled, Annotated[float, Field(gt=0)]])
KINDS = st.recursive(
    LEAVES,
    lambda kinds: st.one_of(
        kinds.map(lambda kind: kind | None),
        kinds.map(lambda kind: Annotated[list[kind], Field(max_length=2)]),  # type: ignore[valid-type]  # a type of today
        kinds.map(lambda kind: Annotated[dict[str, kind], Field(max_length=2)]),  # type: ignore[valid-type]  # as above
        kinds.map(lambda kind: create_model("Block", __base__=ApiModel, value=(kind, ...))),
    ),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None)
@given(KINDS)
def test_any_nesting_comes_out_plain(kind: Any) -> None:
    words = set(str(field(kind)).replace("'", " ").split())
    assert not words & {"$ref", "$defs", "anyOf", "null", "None", "const", "title", "False"}


def test_defaults_can_be_taken_away_at_any_depth() -> None:
    node = {"type": "object", "default": {}, "properties": {"default": {"type": "string", "default": "x"}}}
    listed = {"type": "array", "items": node, "default": []}
    plain = {"type": "object", "properties": {"default": {"type": "string"}}}
    assert without_defaults(listed) == {"type": "array", "items": plain}
    assert without_defaults({"additionalProperties": node}) == {"additionalProperties": plain}


def test_the_descriptions_are_those_of_the_fields() -> None:
    spec = job_schema()["properties"]["spec"]["properties"]
    assert spec["method"]["description"] == "Fine-tuning method: full, LoRA, QLoRA and others."
    assert spec["data"]["properties"]["maxLength"]["description"] == " ".join(
        fields()["spec.data.maxLength"].description.split()
    )


def test_only_what_a_user_has_opened_is_filled_with_defaults() -> None:
    """What the status leaves out is unknown; of the spec, blocks nobody wrote and what is empty are not stored."""
    properties = job_schema()["properties"]
    assert "'default'" not in str(properties["status"])
    split = properties["spec"]["properties"]["data"]["properties"]["split"]
    assert "default" not in split
    assert split["properties"]["validation"]["default"] == 0.1
    assert not any(empty in str(properties["spec"]) for empty in ("'default': ''", "'default': []", "'default': {"))


def test_the_definition_is_a_pure_function() -> None:
    first = custom_resource_definition()
    first["spec"]["versions"].clear()
    assert custom_resource_definition() == custom_resource_definition()
    assert custom_resource_definition()["spec"]["versions"]


def test_names() -> None:
    names = custom_resource_definition()["spec"]["names"]
    assert (names["kind"], names["plural"], names["singular"], names["shortNames"]) == (
        "FineTuneJob", "finetunejobs", "finetunejob", ["ftj"],
    )  # fmt: skip
    assert custom_resource_definition()["spec"]["scope"] == "Namespaced"


def test_columns_read_fields_that_exist() -> None:
    version = custom_resource_definition()["spec"]["versions"][0]
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"].removeprefix(".").replace("[-1:]", "[]")
        assert path in fields() or path == "metadata.creationTimestamp"


def test_the_text_says_what_the_data_says() -> None:
    definition = custom_resource_definition()
    text = manifest_text(definition)
    assert safe_load(text) == definition
    assert text.startswith(HEADER)
    assert "python -m finetune_api.crd" in HEADER
    assert max(map(len, text.splitlines())) < 180
    assert "&id" not in text


def test_the_file_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    assert PATH.name == "finetunejobs.yaml"


def test_check_shows_what_differs_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crd.yaml"
    assert main(["--check", "--path", str(path)]) == 1
    assert not path.exists()
    assert main(["--path", str(path)]) == 0
    assert main(["--check", "--path", str(path)]) == 0
    path.write_text(path.read_text("utf-8").replace("- ftj", "- job"), "utf-8")
    capsys.readouterr()
    assert main(["--check", "--path", str(path)]) == 1
    said = capsys.readouterr()
    assert "\n-    - job\n+    - ftj\n" in said.out
    assert "make crds" in said.err
    assert "- job" in path.read_text("utf-8")
