"""Fields by path, and names that were meant."""

import pytest

from finetune_api.fields import children, field_at, fields, format_path, parse_path, schema_path
from finetune_api.job import FineTuneJob
from finetune_api.naming import near_names
from finetune_api.spec import Spec


def test_fields_are_those_of_the_models() -> None:
    assert children("") == [field.alias for field in FineTuneJob.model_fields.values()]
    assert children("spec") == [field.alias for field in Spec.model_fields.values()]
    assert children("spec.evaluation.gates[]") == ["metric", "min", "max", "maxRegression", "minImprovement"]
    assert children("spec.training.epochs") == []


def test_a_field_knows_its_type_bounds_and_words() -> None:
    rate = fields()["spec.training.learningRate"]
    assert (rate.type, rate.kind, rate.bounds, rate.required, rate.default) == (
        "number", "number", "above 0, at most 10", False, None,
    )  # fmt: skip
    assert rate.description.startswith("Peak learning rate")
    assert fields()["spec.training.classWeights"].choices == ("None", "Balanced")
    assert fields()["spec.data.train[].uri"].required
    assert fields()["spec.method.merge.sources"].bounds == "items at least 2, items at most 16"
    assert fields()["kind"].choices == ("FineTuneJob",)


@pytest.mark.parametrize("text", ["spec", "spec.data.train[0].uri", "a[0][12].b-c_d", "metadata.name"])
def test_paths_as_text_and_back(text: str) -> None:
    assert format_path(parse_path(text)) == text


def test_parse_path_tells_indices_from_names() -> None:
    assert parse_path("spec.data.train[0].uri") == ("spec", "data", "train", 0, "uri")


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a]b", "a b", "a[99999999]"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_path(text)


def test_field_at_any_index() -> None:
    field = field_at(("spec", "evaluation", "gates", 3, "min"))
    assert field is not None
    assert field.path == schema_path(("spec", "evaluation", "gates", 3, "min")) == "spec.evaluation.gates[].min"
    assert field_at(("spec", "gates", 3)) is None


@pytest.mark.parametrize(
    ("name", "names", "meant"),
    [
        ("learning_rate", ["learningRate", "learningRates"], ["learningRate"]),
        ("LoRa", ["LoRA", "QLoRA", "DoRA"], ["LoRA"]),
        ("lerningRate", ["epochs", "learningRate"], ["learningRate"]),
        ("flux", ["epochs", "learningRate"], []),
        ("", ["epochs"], []),
        ("epochs", [], []),
    ],
)
def test_near_names(name: str, names: list[str], meant: list[str]) -> None:
    assert near_names(name, names) == meant
