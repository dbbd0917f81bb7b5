"""Rows of which nothing is left to learn: told where there are some, refused where there are no others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from finetune_api.failures import DataEmpty, SpecInvalid
from finetune_api.spec import Spec
from finetune_trainer.data import prepare
from finetune_trainer.data.tokenising.learned import sample_line
from finetune_trainer.storage import Site
from finetune_trainer.tasks.causal_lm import CausalLM

VANISHES = "\u0007\u0008"
"""Control characters: not empty as text, but a tokenizer of BERT's kind drops them, and it has no end of text."""
Lines = Callable[[str, list[dict[str, Any]]], str]


def task_of(uri: str, **training: Any) -> CausalLM:
    data = {"train": [{"uri": uri}], "split": {"validation": 0, "test": 0}}
    spec = Spec.model_validate(
        {
            "task": "CausalLM",
            "model": {"uri": "file:///none"},
            "data": data,
            "training": training,
            "output": {"uri": "file://./out"},
        }
    )
    return CausalLM(spec, prepare(spec.data, site=Site(Path("/")), task=spec.task))


@pytest.fixture
def wordpieces(tiny_model: Callable[..., Path]) -> Any:
    return AutoTokenizer.from_pretrained(tiny_model("bert"))


@pytest.mark.causes("DataEmpty")
def test_rows_without_anything_to_learn_are_refused(lines: Lines, wordpieces: Any, tmp_path: Path) -> None:
    task = task_of(lines("rows.jsonl", [{"prompt": word, "completion": VANISHES} for word in ("printer", "window")]))
    with pytest.raises(DataEmpty, match="no train row has a token to learn"):
        task.tokenise("train", wordpieces, 64, tmp_path, lambda _rows: None)


def test_some_such_rows_are_told(lines: Lines, wordpieces: Any, tmp_path: Path) -> None:
    rows = [{"prompt": "the printer", "completion": "is fine"}, {"prompt": "the window", "completion": VANISHES}]
    task = task_of(lines("rows.jsonl", rows))
    tokens = task.tokenise("train", wordpieces, 64, tmp_path, lambda _rows: None)
    report = task.describe_tokens(task.data.report, {"train": tokens}, wordpieces, 64)
    assert report.warnings[-1] == "1 training rows have no token to learn and teach nothing."
    assert tokens.counted.tolist() == [2, 0]
    assert sample_line(report.sample).endswith("«is fine»")


def test_rows_that_are_cut_are_told(lines: Lines, stories: Any, tmp_path: Path) -> None:
    rows = [
        {"prompt": "Lily ran. " * 40, "completion": "Yes."},
        {"prompt": "Tom ran.", "completion": "She ran. " * 40},
        {"prompt": "Who?", "completion": "Me."},
    ]
    task = task_of(lines("rows.jsonl", rows))
    tokens = task.tokenise("train", stories, 32, tmp_path, lambda _rows: None)
    report = task.describe_tokens(task.data.report, {"train": tokens}, stories, 32)
    (warning,) = report.warnings
    assert warning == (
        "2 training rows are longer than 32 tokens (data.maxLength) and lose the middle of their prompt, and 1 of them"
        " the end of the answer."
    )


@pytest.mark.causes("SpecInvalid")
def test_raw_text_has_no_answers(lines: Lines, stories: Any, tmp_path: Path) -> None:
    task = task_of(lines("rows.jsonl", [{"text": "Lily ran."}, {"text": "Tom ran."}]), lossOn="Completion")
    with pytest.raises(SpecInvalid, match="raw text has no answers") as caught:
        task.tokenise("train", stories, 32, tmp_path, lambda _rows: None)
    assert caught.value.problems[0].where == "spec.training.lossOn"
