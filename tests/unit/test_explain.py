"""`finetune-trainer explain` and `schema`: words and a schema for every field of the API."""

import json
from typing import Any

import pytest

from finetune_api.failures import SpecInvalid
from finetune_api.fields import fields
from finetune_api.resolved import DEFAULTS
from finetune_api.tasks import MethodType, Task
from finetune_trainer.cli.explain import explain_field, json_schema

LORA = DEFAULTS[Task.SEQUENCE_CLASSIFICATION][MethodType.LORA]


@pytest.mark.parametrize("path", [path for path in fields() if not path.endswith("[]")])
def test_every_field_is_explained(path: str) -> None:
    text = explain_field(path)
    first_words = " ".join(fields()[path].description.split()[:4])
    assert text.startswith(path)
    assert first_words in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100 or "https://" in text


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("training.epochs", "spec.training.epochs"),
        ("ftj.spec.training.epochs", "spec.training.epochs"),
        ("FineTuneJob.training.epochs", "spec.training.epochs"),
        ("data.train[3].uri", "spec.data.train[].uri"),
        ("data.train.uri", "spec.data.train[].uri"),
        (" task ", "spec.task"),
        ("spec", "spec"),
        ("status.phase", "status.phase"),
    ],
)
def test_ways_to_name_a_field(short: str, full: str) -> None:
    assert explain_field(short) == explain_field(full)
    assert explain_field(short).splitlines()[0].split(" <")[0] == full


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("lora_r", "spec.method.lora.rank"),
        ("per_device_train_batch_size", "spec.training.perDeviceBatchSize"),
        ("neftune_noise_alpha", "spec.training.neftuneNoiseAlpha"),
        ("lr_scheduler_type", "spec.training.lrSchedulerType"),
        ("gradient_checkpointing", "spec.training.activationCheckpointing"),
        ("layerwise_lr_decay", "spec.method.full.layerwiseLrDecay"),
        ("activation_checkpointing", "spec.training.activationCheckpointing"),
        ("num_generations", "spec.training.policy.numGenerations"),
        ("num_iterations", "spec.training.policy.numIterations"),
        ("eval_steps", "spec.evaluation.evalSteps"),
        ("save_steps", "spec.checkpoints.saveSteps"),
        ("rpo_alpha", "spec.training.preference.answerWeight"),
    ],
)
def test_a_name_of_transformers_peft_or_trl_is_explained_and_found_in_the_description(name: str, field: str) -> None:
    assert explain_field(name) == f"{name} of other trainers is {field} here.\n\n{explain_field(field)}"
    assert f"`{name}`" in fields()[field].description


@pytest.mark.parametrize("path", ["", "ftj", "finetunejob"])
def test_the_kind_itself(path: str) -> None:
    text = explain_field(path)
    assert text.startswith("FineTuneJob <mapping>\n\n  A fine-tuning run")
    assert "\n  spec <mapping>      What to fine-tune, on what, how, and what the result must reach.\n" in text


def test_type_default_bounds_and_choices() -> None:
    assert explain_field("method.lora.rank") == (
        "spec.method.lora.rank <whole number>\n\n"
        "  Rank of the update matrices (`r`, `lora_r`).\n\n"
        "  default: 8\n"
        "  bounds:  at least 1, at most 1024"
    )
    assert "  default: Linear\n  choices: Linear, Cosine, Constant, Polynomial, InverseSqrt" in explain_field(
        "training.lrSchedulerType"
    )
    assert "  default: false" in explain_field("runPolicy.suspend")
    assert '  default: ""\n' in explain_field("data.train.delimiter")
    assert "  default: 0.06\n" in explain_field("training.warmupRatio")
    assert "  default: none, it is required" in explain_field("task")
    assert "  default: []\n  bounds:  items at most 512\n  each:    characters at least 1" in explain_field(
        "data.labels.names"
    )
    assert explain_field("data.labels.names").startswith("spec.data.labels.names <list of text>")


def test_fields_below_are_listed_once_each() -> None:
    below = explain_field("evaluation.gates").partition("fields:\n")[2].splitlines()
    assert [line.split()[0] for line in below] == ["metric", "min", "max", "maxRegression", "minImprovement"]
    assert below[1].split(maxsplit=2) == ["min", "<number>", "Lowest value that passes."]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("training.epochs", LORA.epochs),
        ("training.learningRate", LORA.learning_rate),
        ("training.batchSize", LORA.batch_size),
        ("data.maxLength", LORA.max_length),
    ],
)
def test_defaults_by_method(path: str, value: float) -> None:
    text = explain_field(path)
    assert "default: by task and method, see below" in text
    table = [line.split() for line in text.partition("defaults by task and method:\n")[2].splitlines()]
    assert ["SequenceClassification", "LoRA", f"{value:g}"] in table
    assert len(table) == sum(map(len, DEFAULTS.values()))


@pytest.mark.causes("SpecInvalid")
@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("training.learning_rate", "did you mean learningRate?"),
        ("lerningRate", "did you mean spec.training.learningRate?"),
        ("labels", "did you mean spec.data.labels or spec.data.columns.labels"),
        ("trainng.epochs", "did you mean spec.training.epochs?"),
        ("method.lora.zebra", "fields of spec.method.lora: rank, alpha"),
        ("nothing", "fields of spec: task, model"),
        ("training.deviceBatchSize", "deviceBatchSize is called perDeviceBatchSize now"),
        ("everySteps", "did you mean spec.evaluation.evalSteps or spec.checkpoints.saveSteps?"),
        ("what is this", "name it like training.epochs"),
    ],
)
def test_unknown_fields_are_answered_with_what_was_meant(path: str, hint: str) -> None:
    with pytest.raises(SpecInvalid) as refused:
        explain_field(path)
    (problem,) = refused.value.problems
    assert problem.message == f"there is no field {path}"
    assert hint in problem.hint


def test_the_schema_is_complete_json_for_editors() -> None:
    schema: dict[str, Any] = json.loads(json.dumps(json_schema()))
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["required"] == ["apiVersion", "kind", "metadata", "spec"]
    training = schema["$defs"]["Training"]
    assert training["additionalProperties"] is False
    assert training["properties"]["learningRate"]["description"].startswith("Peak learning rate (`learning_rate`).")
    assert schema["properties"]["kind"]["const"] == "FineTuneJob"
