"""Prompts and answers in other languages: what is measured counts in every alphabet, and what is predicted is whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_trainer.evaluation.generated_text import text_metrics

ROOT = Path(__file__).parents[3]
XQUAD = ROOT / "tests/data/xquad"
FRENCH = ROOT / "tests/data/french_names/sentences.jsonl"


def prompts_of(language: str) -> list[dict[str, str]]:
    """Questions or sentences as prompts, with their answers."""
    file = FRENCH if language == "fr" else XQUAD / f"{language}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()][:16]
    return [
        {"prompt": row.get("question") or row["input"], "completion": row.get("answer") or row["target"]}
        for row in rows
    ]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["es", "fr", "ru", "zh"])
def test_answers_are_learned_and_counted_in_any_alphabet(
    language: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    """The model of English tales knows other letters as bytes only, and learns these few rows by heart."""
    rows = prompts_of(language)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "task": "CausalLM",
        "model": {"uri": (ROOT / "tests/models/stories260k").as_uri()},
        "data": {
            "train": [{"uri": "file://./rows.jsonl"}],
            "columns": {"prompt": "prompt", "completion": "completion"},
            "split": {"validation": 0, "test": 0},
            "maxLength": 256,
        },
        "method": {"type": "Full"},
        "training": {"epochs": 40, "learningRate": 0.003, "batchSize": 8},
        "evaluation": {"generation": {"maxNewTokens": 24}},
        "output": {"uri": "file://./out"},
    }
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
    ended = cli("run", tmp_path / "job.yaml", "--json")
    assert ended.code == 0, ended.err
    found = ended.report.evaluation
    assert found.metrics["evalLoss"] < found.baseline["evalLoss"] * 0.7
    if language in {"es", "fr"}:  # letters of other alphabets are several tokens each: too many for a model this small
        assert found.metrics["chrF"] > found.baseline["chrF"] + 0.05
    assert {sample.expected for sample in ended.report.details.samples} <= {row["completion"] for row in rows}


@pytest.mark.parametrize("language", ["es", "fr", "ru", "zh"])
def test_an_answer_is_most_like_itself(language: str) -> None:
    answers = [row["completion"] for row in prompts_of(language)]
    same = text_metrics(answers, [[answer] for answer in answers])
    assert same == pytest.approx(dict.fromkeys(same, 1))
    other = text_metrics(answers, [[answer] for answer in (*answers[1:], answers[0])])
    assert all(value < 0.7 for value in other.values())
    shouted = text_metrics(
        [f"\u00ab {answer.upper()} ! \u00bb" for answer in answers], [[answer] for answer in answers]
    )
    assert shouted["exactMatch"] == 1
    assert shouted["f1"] == 1
