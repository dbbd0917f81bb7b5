"""Details: confusion, worst rows first, seeded samples, shortened texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data_report import Place
from finetune_api.details import Details
from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.details import SCATTER, TEXT_LENGTH, WORST, Inputs, describe, shorten
from finetune_trainer.evaluation.scores import Scored

NAMES = ["billing", "delivery", "other"]


def described(rows: int = 60, seed: int = 0, **inputs: object) -> Details:
    random = np.random.default_rng(5)
    targets = random.integers(0, 3, rows)
    logits = random.normal(size=(rows, 3)) + np.eye(3)[targets]
    texts = Inputs(texts=[f"row {row}" for row in range(rows)], **inputs)  # type: ignore[arg-type]
    return describe(Scored(logits, targets, ProblemType.SINGLE_LABEL, NAMES), texts, -logits, seed)


def test_worst_rows_are_wrong_ones_by_falling_loss() -> None:
    worst = described().worst
    losses = [sample.loss for sample in worst if sample.loss is not None]
    assert len(worst) == WORST
    assert all(sample.expected != sample.predicted for sample in worst)
    assert losses == sorted(losses, reverse=True)


def test_right_rows_come_after_wrong_ones_even_with_a_higher_loss() -> None:
    logits = np.array([[0.10, 0.00, 0.09], [8.0, 8.1, 0.0]])
    scored = Scored(logits, np.array([0, 0]), ProblemType.SINGLE_LABEL, NAMES)
    assert scored.losses[0] > scored.losses[1]
    assert [sample.text for sample in describe(scored, Inputs(["right", "wrong"])).worst] == ["wrong", "right"]


def test_samples_are_drawn_by_seed_and_keep_their_place() -> None:
    places = [Place(file="data.csv", line=row + 2) for row in range(60)]
    first, again, other = described(places=places), described(places=places), described(places=places, seed=1)
    assert first.samples == again.samples
    assert first.samples != other.samples
    for sample in first.samples:
        assert sample.place == Place(file="data.csv", line=int(sample.text.split()[1]) + 2)


def test_confusion_has_true_labels_in_rows() -> None:
    logits = np.eye(3)[[1, 1, 2]]
    scored = Scored(logits, np.array([0, 1, 2]), ProblemType.SINGLE_LABEL, NAMES)
    assert describe(scored, Inputs(["a", "b", "c"])).confusion == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_class_rows_cover_every_label_and_support_adds_up() -> None:
    details = described()
    assert [row.label for row in details.classes] == NAMES
    assert sum(row.support for row in details.classes) == 60 == sum(map(sum, details.confusion))


def test_baseline_answers_are_shown_where_there_is_a_baseline() -> None:
    logits = np.array([[2.0, 0, 0]])
    scored = Scored(logits, np.array([0]), ProblemType.SINGLE_LABEL, NAMES)
    assert describe(scored, Inputs(["a"]), np.array([[0.0, 0, 5.0]])).samples[0].baseline == "other"
    assert describe(scored, Inputs(["a"])).samples[0].baseline == ""


def test_multi_label_answers_are_lists_of_names() -> None:
    logits, targets = np.array([[3.0, -3.0, 3.0], [-3.0, -3.0, -3.0]]), np.array([[1, 0, 1], [0, 1, 0]])
    details = describe(Scored(logits, targets, ProblemType.MULTI_LABEL, NAMES), Inputs(["a", "b"], pairs=["c", "d"]))
    assert details.confusion == []
    assert [(s.text, s.pair, s.expected, s.predicted) for s in details.samples] == [
        ("a", "c", "billing, other", "billing, other"),
        ("b", "d", "delivery", "no label"),
    ]
    assert details.samples[0].confidence == pytest.approx(0.9526**3, abs=1e-3)
    assert details.worst[0].text == "b"


def test_regression_has_a_bounded_scatter_and_no_classes() -> None:
    truth = np.linspace(0, 5, 900)
    scored = Scored(truth[:, None] + 0.1, truth, ProblemType.REGRESSION, [])
    details = describe(scored, Inputs([str(i) for i in range(900)]))
    assert len(details.scatter) == SCATTER
    assert all(guess == pytest.approx(true + 0.1) for true, guess in details.scatter)
    assert details.classes == [] == details.reliability
    assert details.samples[0].confidence is None


@given(st.text(max_size=2000))
def test_shortened_texts_are_bounded_prefixes(text: str) -> None:
    short = shorten(text)
    assert len(short) <= TEXT_LENGTH + 2
    assert text.startswith(short.removesuffix(" …"))


def test_texts_are_cut_between_words() -> None:
    assert shorten("word " * 200).endswith("word …")
    assert shorten("short") == "short"
