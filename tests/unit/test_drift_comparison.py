"""Statistics of inputs: what they hold, that chance raises no alarm, and that real shifts do."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from finetune_api.data_report import Place
from finetune_api.details import Details, ReliabilityBin
from finetune_api.drift import Drift, DriftReference, DriftReport
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Examples, LabelSpace
from finetune_trainer.drift.compare import NewRows, compare
from finetune_trainer.drift.divergence import chance_of_bins, divergence
from finetune_trainer.drift.reference import binned, distribution, drift_reference_of
from finetune_trainer.drift.sketch import BUCKETS, SCRIPTS, bucket_of, kind_of, sketch

ROOT = Path(__file__).parents[2]
TOKENIZER = AutoTokenizer.from_pretrained(ROOT / "tests" / "models" / "stories260k")
SPACE = LabelSpace(ProblemType.SINGLE_LABEL, ("kind", "toxic"))
CHINESE = ROOT / "tests" / "data" / "xquad" / "zh.jsonl"


def sentences(name: str) -> list[tuple[str, str]]:
    """Texts and labels of a real data set."""
    with (ROOT / "tests" / "data" / "identity_groups" / name).open(newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def examples(rows: list[tuple[str, str]]) -> Examples:
    places = [Place(file="x", line=line) for line in range(len(rows))]
    return Examples([text for text, _ in rows], None, [label for _, label in rows], SPACE, places)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    """The statistics of training rows, through their file."""
    bins = [ReliabilityBin(confidence=level, accuracy=level, rows=30) for level in (0.6, 0.8, 0.95)]
    held_out = Details(confusion=[[40, 5], [5, 40]], reliability=bins)
    made = drift_reference_of(examples(sentences("train.csv")), TOKENIZER, held_out, seed=1)
    return DriftReference.model_validate_json(made.model_dump_json(by_alias=True))


def against(reference: DriftReference, rows: list[tuple[str, str]], **answers: list[float] | list[str]) -> DriftReport:
    found = sketch([text for text, _ in rows], TOKENIZER)
    return compare(reference, NewRows(found, [label for _, label in rows], **answers))  # type: ignore[arg-type]


def drift_of(report: DriftReport, name: str) -> Drift:
    return next(shift.drift for shift in report.shifts if shift.name == name)


def test_statistics_are_small_and_hold_no_word(reference: DriftReference) -> None:
    written = reference.model_dump_json(by_alias=True)
    assert len(written) < 12_000
    words = {word for text, _ in sentences("train.csv") for word in text.lower().split() if len(word) > 4}
    known = {*SCRIPTS, "labels", "tokens", "characters", "confidence", "vocabulary", "halves"}
    assert not {word for word in words - known if f'"{word}' in written} - {"toxic", "kind"}
    assert sum(reference.vocabulary.shares) == pytest.approx(1, abs=1e-3)
    assert sum(reference.labels.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rows", [15, 60, 350])
def test_rows_of_the_same_kind_are_no_drift(reference: DriftReference, rows: int) -> None:
    held_out = sentences("test.csv")
    alarms = 0
    for seed in range(12):
        drawn = np.random.default_rng(seed).permutation(len(held_out))[:rows].tolist()
        report = against(reference, [held_out[row] for row in drawn])
        alarms += sum(shift.drift is not Drift.NONE for shift in report.shifts)
    assert alarms <= 3, "of 72 comparisons"


def test_another_language_is_strong_drift(reference: DriftReference) -> None:
    lines = [json.loads(line) for line in CHINESE.read_text(encoding="utf-8").splitlines()[:60]]
    report = against(reference, [(line["question"], "kind") for line in lines])
    assert report.drift is Drift.STRONG
    assert drift_of(report, "scripts") is Drift.STRONG
    assert drift_of(report, "vocabulary") is Drift.STRONG
    scripts = next(shift for shift in report.shifts if shift.name == "scripts")
    assert (scripts.before.split()[0], scripts.now.split()[0]) == ("latin", "cjk")


def test_one_statistic_can_drift_alone(reference: DriftReference) -> None:
    rows = sentences("test.csv")
    toxic = [row for row in rows if row[1] == "toxic"]
    assert drift_of(against(reference, toxic), "labels") is Drift.STRONG
    assert drift_of(against(reference, toxic), "characters") is Drift.NONE
    longer = against(reference, [(f"{text} and nobody knows why", label) for text, label in rows])
    assert drift_of(longer, "characters") is Drift.STRONG
    assert drift_of(longer, "labels") is Drift.NONE


def test_answers_and_confidence_are_compared_without_labels(reference: DriftReference) -> None:
    rows = [(text, "") for text, _ in sentences("test.csv")[:90]]
    found = sketch([text for text, _ in rows], TOKENIZER)
    alike = compare(reference, NewRows(found, (), ["kind", "toxic"] * 45, [0.6, 0.8, 0.95] * 30))
    assert (drift_of(alike, "answers"), drift_of(alike, "confidence")) == (Drift.NONE, Drift.NONE)
    unsure = compare(reference, NewRows(found, (), ["kind"] * 90, [0.55] * 90))
    assert (drift_of(unsure, "answers"), drift_of(unsure, "confidence")) == (Drift.STRONG, Drift.STRONG)
    assert "labels" not in {shift.name for shift in unsure.shifts}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.lists(st.floats(0, 100), min_size=1, max_size=60))
def test_divergence_is_between_0_and_1_and_the_same_both_ways(one: list[float], other: list[float]) -> None:
    size = min(len(one), len(other))
    first, second = np.asarray(one[:size]), np.asarray(other[:size])
    assert 0 <= divergence(first, second) <= 1 + 1e-9
    assert divergence(first, second) == pytest.approx(divergence(second, first))
    assert divergence(first, first) == pytest.approx(0, abs=1e-12)


def test_divergence_of_nothing_in_common_is_1() -> None:
    assert divergence(np.asarray([1.0, 0]), np.asarray([0, 5.0])) == pytest.approx(1)


def test_chance_is_what_samples_of_one_distribution_show() -> None:
    random, shares = np.random.default_rng(0), np.asarray([0.5, 0.2, 0.2, 0.1])
    found = [divergence(random.multinomial(400, shares), random.multinomial(150, shares)) for _ in range(2_000)]
    assert np.mean(np.asarray(found) < chance_of_bins(4, 400, 150)) == pytest.approx(0.95, abs=0.02)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_bins_hold_all_rows_whatever_their_values(values: list[int]) -> None:
    numbers = np.asarray(values, np.float64)
    made = distribution(numbers)
    assert len(made.shares) == len(made.edges) + 1 <= 11
    assert sum(made.shares) == pytest.approx(1, abs=1e-4)
    assert binned(numbers + 100, made.edges).tolist()[-1] == 1


@given(st.characters())
def test_every_character_has_a_kind(char: str) -> None:
    assert 0 <= kind_of(char) < len(SCRIPTS)


def test_kinds_and_buckets() -> None:
    kinds = [SCRIPTS[kind_of(char)] for char in "aЯ好カ7 ,€\u0301"]
    assert kinds == ["LATIN", "CYRILLIC", "CJK", "KATAKANA", "digit", "space", "punctuation", "symbol", "other letter"]
    buckets = [bucket_of(token) for token in range(30_000)]
    assert {*buckets} == {*range(BUCKETS)}
    assert max(np.bincount(buckets)) < 90
