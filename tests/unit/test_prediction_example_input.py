"""The input that a run suggests to try its model with."""

import json
import subprocess
from typing import Any

import pytest

from finetune_api.inference import InferenceSettings
from finetune_trainer.cli.messages import predict_command_line
from finetune_trainer.prediction.example_input import example_input


def settings(task: str, **columns: str) -> InferenceSettings:
    return InferenceSettings.model_validate(
        {
            "task": task,
            "method": "Full",
            "problemType": "Auto",
            "maxLength": 32,
            "columns": columns,
            "clean": {},
        }
    )


@pytest.mark.parametrize(
    ("task", "columns", "keys"),
    [
        ("SequenceClassification", {"text": "body"}, None),
        ("SequenceClassification", {"text": "body", "textPair": "title"}, ["body", "title"]),
        ("Seq2Seq", {"input": "article"}, None),
        ("Seq2Seq", {"question": "q", "context": "context"}, ["q", "context"]),
        ("RewardModel", {"prompt": "asked"}, ["asked", "completion"]),
        ("RewardModel", {"messages": "chat"}, ["chat"]),
        ("CausalLM", {"messages": "messages"}, None),
        ("TokenClassification", {}, None),
    ],
)
def test_columns_that_the_model_takes(task: str, columns: dict[str, str], keys: list[str] | None) -> None:
    found = example_input(settings(task, **columns), None)
    assert (list(json.loads(found)) if keys else found) == (keys or "your text")


@pytest.mark.parametrize("mask", ["[MASK]", "<mask>", "<|mask|>", "▁`$MASK'"])
def test_the_mask_of_the_tokenizer_survives_the_shell(mask: str) -> None:
    found = example_input(settings("MaskedLM"), mask)
    assert mask in found
    command, _, rest = predict_command_line("file:///out/a%20b", found).rpartition(" | ")
    assert rest == "finetune-trainer predict '/out/a b' -"
    shown: Any = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)
    assert shown.stdout.decode() == f"{found}\n"
