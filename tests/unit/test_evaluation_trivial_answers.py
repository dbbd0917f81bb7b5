"""Answers that ignore the input, against counts by hand; and jobs whose model gives nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.trivial_answers import constant_answer_of, most_frequent, prior_logits

SINGLE, MULTI, REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION


def test_the_most_frequent_class_and_its_share() -> None:
    logits = prior_logits(np.array([0, 2, 2, 2, 1, 2]), SINGLE, 4, rows=2)
    assert logits.shape == (2, 4)
    assert logits.argmax(axis=1).tolist() == [2, 2]
    assert np.exp(logits).sum(axis=1) == pytest.approx([1, 1])
    assert np.isfinite(logits).all(), "a class without training rows, too"


def test_labels_that_most_rows_have_and_the_mean_of_numbers() -> None:
    targets = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    assert (prior_logits(targets, MULTI, 3, rows=1) > 0).tolist() == [[True, False, True]]
    assert prior_logits(np.array([1.0, 2.0, 6.0]), REGRESSION, 1, rows=2).tolist() == [[3.0], [3.0]]


def test_the_most_frequent_tag() -> None:
    assert most_frequent([("O", "B-a"), ("O", "B-b", "B-a")]) == "B-a", "of two the first by name"
    assert most_frequent([]) == ""


@pytest.mark.parametrize(
    ("answers", "expected", "found"),
    [
        (["a", "a", "a"], ["a", "b", "a"], "a"),
        (["a", "a", "a"], ["a", "a", "a"], ""),
        (["a", "a", "b"], ["a", "b", "a"], ""),
        (["a", "a"], ["a", "b"], ""),
        (["", "", ""], ["a", "b", "a"], "nothing"),
        (["x" * 90] * 3, ["a", "b", "a"], "x" * 59 + "…"),
    ],
)
def test_one_answer_for_all(answers: list[str], expected: list[str], found: str) -> None:
    assert constant_answer_of(answers, expected) == found


def run(cli: Callable[..., Any], folder: Path, rows: list[dict[str, Any]], **spec: Any) -> tuple[Any, Any]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = {"data": {"train": [{"uri": "file://./rows.jsonl"}]}, "output": {"uri": "file://./out"}, **spec}
    manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
    (folder / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": whole}))
    ended = cli("run", folder / "job.yaml", "--uid", "one")
    out = folder / "out" / "job" / "one"
    return ended, json.loads((out / "report" / "report.json").read_text())


def test_a_tagger_that_finds_nothing_is_no_good_one(
    tiny_model: Callable[..., Path], cli: Callable[..., Any], sentences: list[str], tmp_path: Path
) -> None:
    """Few words are names, so that a loss that falls is reached by saying O of all words."""
    rows = []
    for number, text in enumerate(sentences * 2):
        words = text.split()
        tags = ["B-thing" if number % 8 == 0 and at == 1 else "O" for at in range(len(words))]
        rows.append({"tokens": words, "tags": tags})
    ended, report = run(
        cli,
        tmp_path,
        rows,
        task="TokenClassification",
        model={"uri": tiny_model("bert").as_uri()},
        method={"type": "Full"},
        training={"epochs": 3, "learningRate": 1e-3, "batchSize": 8},
        data={
            "train": [{"uri": "file://./rows.jsonl"}],
            "clean": {"dropDuplicates": False},
            "split": {"validation": 0.2, "test": 0.3},
        },
    )
    assert ended.code == 0, ended.err
    assert report["evaluation"]["metrics"]["f1"] == 0
    assert report["trivialBaseline"]["f1"] == 0
    assert report["verdict"]["fit"] == "Underfitting"
    assert report["verdict"]["reason"] == "The tuned model has one answer for all test rows: O."
    assert "one answer for all test rows: O" in ended.out + ended.err
    for file in ("README.md", "report/index.html"):
        assert "The tuned model has one answer for all test rows: O" in (tmp_path / "out/job/one" / file).read_text()


def test_gates_ask_for_more_than_the_most_frequent_class(
    tiny_model: Callable[..., Path], cli: Callable[..., Any], sentences: list[str], tmp_path: Path
) -> None:
    """Labels that the texts know nothing of, nine of ten alike: better than a random head, no better than a guess."""
    rows = [
        {"text": f"{text} {number}", "label": "rare" if number % 10 == 0 else "usual"}
        for number, text in enumerate(sentences * 5)
    ]
    ended, report = run(
        cli,
        tmp_path,
        rows,
        task="SequenceClassification",
        model={"uri": tiny_model("bert").as_uri()},
        method={"type": "LoRA"},
        training={"epochs": 2, "batchSize": 16},
        evaluation={"gates": [{"metric": "accuracy", "minImprovement": 0.02}]},
        data={
            "train": [{"uri": "file://./rows.jsonl"}],
            "split": {"validation": 0.2, "test": 0.3, "stratify": True},
        },
    )
    assert ended.code == 86, ended.err
    (gate,) = report["evaluation"]["gates"]
    assert gate["baseline"] == report["trivialBaseline"]["accuracy"] == pytest.approx(0.9, abs=0.04)
    assert report["verdict"]["fit"] == "Underfitting"
