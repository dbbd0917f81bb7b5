"""The solved head is scikit-learn's solution of the same problem, for every kind of loss and of head."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from finetune_api.metrics import metric_named
from finetune_api.tasks import ProblemType, Task
from finetune_api.training import EarlyStopping
from finetune_trainer.data.tokenising.collate import FeatureRows, SeveralTexts
from finetune_trainer.methods.head_only import HeadOnly, let_vectors_pass
from finetune_trainer.training.head_solver import HeadSolver, Penalties
from finetune_trainer.training.losses.base import RowLoss
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.losses.reward import RankingLoss

Make = Callable[..., tuple[Any, Any, Any]]
ROWS, WIDTH = 300, 32
LOSS = metric_named(Task.SEQUENCE_CLASSIFICATION, "evalLoss")
KINDS = ("bert", "electra", "distilbert", "roberta", "modernbert", "gpt2", "llama")


class Listening:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.evaluations: list[tuple[int, dict[str, float], bool]] = []

    def trained(self, progress: Any, _tally: Any) -> None:
        self.steps.append(progress)

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        self.evaluations.append((step, metrics, is_best))

    def warned(self, text: str) -> None:
        raise AssertionError(text)


def vectors(seed: int = 0, rows: int = ROWS) -> torch.Tensor:
    """Vectors whose entries have very different means and scales, as those of encoders have."""
    random = torch.Generator().manual_seed(seed)
    scales = torch.logspace(-1, 0.5, WIDTH)
    return torch.randn(rows, WIDTH, generator=random) * scales + 0.3 * scales.flip(0)


def head_of(make: Make, kind: str, names: tuple[str, ...], problem: ProblemType = ProblemType.SINGLE_LABEL) -> HeadOnly:
    head = HeadOnly(make(kind, names, problem)[2])
    let_vectors_pass(head)
    return head


def solve(head: HeadOnly, features: torch.Tensor, loss: Any, strength: float) -> np.ndarray:
    """Solve for one penalty; returns the logits of all rows."""
    penalties = Penalties((strength,), LOSS, EarlyStopping())
    HeadSolver(head, FeatureRows(features), loss, penalties).solve(lambda: {"evalLoss": 1.0}, Listening())
    with torch.no_grad():
        return head(features=features).logits.double().numpy()


def standardised(head: HeadOnly, features: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return StandardScaler().fit_transform(head.output_inputs(features).double().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_pass_the_layers_before_the_output(tiny_classifier: Make, kind: str) -> None:
    """A linear map of what reaches the output layer gives the vectors back, but for what a layer norm takes away."""
    head = head_of(tiny_classifier, kind, ("a", "b"))
    features = torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = head.output_inputs(features).double()
    known, wanted = seen - seen.mean(dim=0), (features - features.mean(dim=0)).double()
    missed = wanted - known @ torch.linalg.lstsq(known, wanted).solution
    assert float(missed.square().mean() / wanted.square().mean()) < (0.1 if kind == "modernbert" else 0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [0.1, 0.001])
def test_classes_are_those_of_logistic_regression(tiny_classifier: Make, kind: str, strength: float) -> None:
    head, features = head_of(tiny_classifier, kind, ("a", "b", "c")), vectors()
    targets = (features[:, :3] / features[:, :3].std(dim=0) + torch.randn(ROWS, 3)).argmax(dim=1)
    found = solve(head, features, RowLoss(Objective(ProblemType.SINGLE_LABEL), targets), strength)
    inputs = standardised(head, features)
    has_bias = head.output_layer.bias is not None
    if not has_bias:
        inputs = head.output_inputs(features).double().detach().numpy() / inputs_deviation(head, features)
    theirs = LogisticRegression(C=1 / (ROWS * strength), max_iter=5000, tol=1e-9, fit_intercept=has_bias)
    expected = theirs.fit(inputs, targets.numpy()).predict_proba(inputs)
    shares = np.exp(found - found.max(axis=1, keepdims=True))
    assert shares / shares.sum(axis=1, keepdims=True) == pytest.approx(expected, abs=5e-3)


def inputs_deviation(head: HeadOnly, features: torch.Tensor) -> np.ndarray:
    """What scales inputs that are not centred, since there is no bias to make up for it."""
    with torch.no_grad():
        return head.output_inputs(features).double().std(dim=0, correction=0).numpy()


def test_scores_are_those_of_ridge_regression(tiny_classifier: Make) -> None:
    head, features = head_of(tiny_classifier, "bert", ("score",), ProblemType.REGRESSION), vectors()
    targets = 3 + features[:, 0] * 2 + 0.1 * torch.randn(ROWS, generator=torch.Generator().manual_seed(2))
    found = solve(head, features, RowLoss(Objective(ProblemType.REGRESSION), targets), 0.02)
    inputs = standardised(head, features)
    expected = Ridge(alpha=ROWS * 0.02 / 2).fit(inputs, targets.numpy()).predict(inputs)
    assert found[:, 0] == pytest.approx(expected, abs=5e-3)


def test_independent_labels_are_a_logistic_regression_each(tiny_classifier: Make) -> None:
    head, features = head_of(tiny_classifier, "bert", ("a", "b"), ProblemType.MULTI_LABEL), vectors()
    targets = (features[:, :2] + 0.2 * torch.randn(ROWS, 2) > features[:, :2].mean(dim=0)).float()
    found = solve(head, features, RowLoss(Objective(ProblemType.MULTI_LABEL), targets), 0.01)
    inputs = standardised(head, features)
    for label in range(2):
        theirs = LogisticRegression(C=1 / (ROWS * 0.01 * 2), max_iter=5000, tol=1e-9)  # the loss is a mean over labels
        expected = theirs.fit(inputs, targets[:, label].numpy()).decision_function(inputs)
        assert found[:, label] == pytest.approx(expected, abs=0.05)


def test_pairs_are_a_logistic_regression_of_differences(tiny_classifier: Make) -> None:
    head, features = head_of(tiny_classifier, "bert", ("score",), ProblemType.REGRESSION), vectors()
    with torch.no_grad():
        seen = head.output_inputs(features).double()
    seen = ((seen - seen.mean(dim=0)) / seen.std(dim=0, correction=0)).numpy()
    penalties = Penalties((0.05,), LOSS, EarlyStopping())
    HeadSolver(head, SeveralTexts(FeatureRows(features), 2), RankingLoss(), penalties).solve(
        lambda: {"evalLoss": 1.0}, Listening()
    )
    with torch.no_grad():
        scores = head(features=features).logits[:, 0].double().numpy()
    apart = seen[::2] - seen[1::2]
    both, sides = np.concatenate([apart, -apart]), np.repeat([1, 0], ROWS // 2)
    theirs = LogisticRegression(C=1 / (ROWS * 0.05), max_iter=5000, tol=1e-9, fit_intercept=False).fit(both, sides)
    assert scores[::2] - scores[1::2] == pytest.approx(theirs.decision_function(apart), abs=0.02)


def test_the_best_penalty_is_kept_and_patience_ends_the_path(tiny_classifier: Make) -> None:
    head, features = head_of(tiny_classifier, "bert", ("a", "b")), vectors()
    loss = RowLoss(Objective(ProblemType.SINGLE_LABEL), (features[:, 0] > features[:, 0].median()).long())
    values, layers = iter([0.9, 0.5, 0.7, 0.6, 0.8, 0.1]), []

    def evaluate() -> dict[str, float]:
        layers.append(head.output_layer.weight.detach().clone())
        return {"evalLoss": next(values)}

    listening = Listening()
    penalties = Penalties((1.0, 0.3, 0.1, 0.03, 0.01, 0.003), LOSS, EarlyStopping(patience=3))
    result = HeadSolver(head, FeatureRows(features), loss, penalties).solve(evaluate, listening)
    assert (result.steps, result.stopped_early) == (5, True)
    assert result.best is not None
    assert (result.best.step, result.best.value) == (2, 0.5)
    assert head.output_layer.weight.equal(layers[1])
    assert [is_best for _, _, is_best in listening.evaluations] == [True, True, False, False, False]
    losses = [point.loss for point in result.curves]
    assert losses == sorted(losses, reverse=True), "less penalty, less loss"
    assert [step.total_steps for step in listening.steps] == [6] * 5


def test_without_validation_rows_there_is_one_penalty(tiny_classifier: Make) -> None:
    head, features = head_of(tiny_classifier, "bert", ("a", "b")), vectors()
    targets = (features[:, 0] + 0.3 * torch.randn(ROWS) > features[:, 0].median()).long()
    penalties = Penalties((1.0, 0.1), LOSS, EarlyStopping())
    loss = RowLoss(Objective(ProblemType.SINGLE_LABEL), targets)
    result = HeadSolver(head, FeatureRows(features), loss, penalties).solve(None, Listening())
    assert (result.steps, result.best) == (1, None)
    inputs = standardised(head, features)
    expected = LogisticRegression(max_iter=5000, tol=1e-9).fit(inputs, targets.numpy()).decision_function(inputs)
    with torch.no_grad():
        logits = head(features=features).logits.double().numpy()
    assert logits[:, 1] - logits[:, 0] == pytest.approx(expected, abs=0.05)


def test_a_rare_label_that_strong_penalties_never_predict_is_waited_for(tiny_classifier: Make) -> None:
    """With F1 as its metric, the search went no further than the first penalties, all of F1 0."""
    head, features = head_of(tiny_classifier, "bert", ("rare",), ProblemType.MULTI_LABEL), vectors()
    scores = features[:, 0] / features[:, 0].std() + features[:, 1] / features[:, 1].std()
    targets = (scores > scores.quantile(0.93)).float().unsqueeze(1)

    def evaluated() -> dict[str, float]:
        with torch.no_grad():
            logits = head(features=features).logits
        hits = float(((logits > 0) & (targets > 0)).sum())
        f1 = 2 * hits / float((logits > 0).sum() + (targets > 0).sum())
        return {"f1Macro": f1, "evalLoss": float(torch.nn.functional.binary_cross_entropy_with_logits(logits, targets))}

    metric = metric_named(Task.SEQUENCE_CLASSIFICATION, "f1Macro")
    penalties = Penalties((100.0, 30.0, 10.0, 3.0, 1.0, 0.001), metric, EarlyStopping(patience=2))
    loss = RowLoss(Objective(ProblemType.MULTI_LABEL), targets)
    observer = Listening()
    result = HeadSolver(head, FeatureRows(features), loss, penalties).solve(evaluated, observer)
    assert [metrics["f1Macro"] for _, metrics, _ in observer.evaluations[:4]] == [0.0] * 4
    assert result.best is not None
    assert result.best.value > 0.9
    assert evaluated()["f1Macro"] == result.best.value
