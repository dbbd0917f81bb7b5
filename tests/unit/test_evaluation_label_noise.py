"""Suspect labels: wrong ones are found among held-out rows, and a good set raises few doubts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.label_noise import ENOUGH, suspect_rows
from finetune_trainer.evaluation.scores import Scored

NAMES = ("a", "b", "c")


def scored(labels: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], sureness: float, seed: int = 0) -> Scored:
    """A model that mostly knows the truth, whatever the labels say."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), len(NAMES)))
    logits[np.arange(len(truth)), truth] += sureness
    return Scored(logits, labels, ProblemType.SINGLE_LABEL, NAMES)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_wrong_labels_are_found(share: float) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 600)
    wrong = random.random(600) < share
    labels = np.where(wrong, (truth + 1) % 3, truth)
    found = suspect_rows(scored(labels, truth, sureness=6))
    assert wrong[found].mean() > 0.9, "precision"
    assert np.isin(np.flatnonzero(wrong), found).mean() > 0.9, "recall"
    assert wrong[found[:10]].all(), "the most doubtful first"


def test_a_class_that_the_model_is_less_sure_of_is_not_doubted_as_a_whole() -> None:
    truth = np.repeat([0, 1, 2], 100)
    logits = np.full((300, 3), -2.0)
    logits[np.arange(300), truth] = np.repeat([3.0, 3.0, -1.9], 100)
    logits[200:, 0] = -1.8
    logits += np.random.default_rng(0).normal(scale=0.01, size=logits.shape)
    assert not suspect_rows(Scored(logits, truth, ProblemType.SINGLE_LABEL, NAMES)).size


def test_what_says_nothing_is_not_asked() -> None:
    truth = np.zeros(ENOUGH - 1, np.int64)
    assert not suspect_rows(scored((truth + 1) % 3, truth, 9)).size
    numbers = np.zeros(100)
    assert not suspect_rows(Scored(numbers, numbers, ProblemType.REGRESSION, ())).size


def test_a_run_lists_them_with_file_and_line(job: Callable[..., str], cli: Callable[..., Any], data: Path) -> None:
    lines = data.read_text().splitlines()
    test = data.with_name("test.csv")
    wrong = {10, 25, 40}
    flipped = [
        line.rpartition(",")[0] + (",praise" if not line.endswith(",praise") else ",complaint")
        if number in wrong
        else line
        for number, line in enumerate(lines[1:73], start=2)
    ]
    test.write_text("\n".join([lines[0], *flipped]) + "\n")
    training = {"epochs": 8, "learningRate": 0.005}
    ended = cli("run", job(data={"test": [{"uri": test.as_uri()}]}, training=training), "--json")
    assert ended.code == 0, ended.err
    details = ended.report.details
    assert {sample.place.line for sample in details.suspects[:3]} == wrong
    assert details.suspects[0].place.file.endswith("test.csv")
    assert details.suspect_rows == len(details.suspects) < 8
    assert "Labels to check" in (ended.folder / "report" / "index.html").read_text()
    alone = job("alone", data={"split": {"validation": 0, "test": 0}})
    assert cli("run", alone, "--json").report.details.suspects == [], "learned rows are not doubted"


def test_a_model_that_is_sure_of_all_rows_still_doubts_the_wrong_ones() -> None:
    truth = np.arange(300) % 3
    labels = truth.copy()
    labels[:6] = (truth[:6] + 1) % 3
    chances = np.random.default_rng(0).uniform(0.97, 0.9999, 300)
    logits = np.log(np.full((300, 3), 1e-3))
    logits[np.arange(300), truth] = np.log(chances)
    assert sorted(suspect_rows(Scored(logits, labels, ProblemType.SINGLE_LABEL, NAMES)).tolist()) == [*range(6)]
