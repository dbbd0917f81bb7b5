import pytest

from finetune_api.metrics import Metric, find_metric
from finetune_api.tasks import Task
from finetune_api.training import EarlyStopping
from finetune_trainer.training.early_stopping import EarlyStoppingState


def metric_named(name: str) -> Metric:
    found = find_metric(Task.SEQUENCE_CLASSIFICATION, name)
    assert found is not None
    return found


ACCURACY, LOSS = metric_named("accuracy"), metric_named("evalLoss")


def watched(
    values: list[float | None], metric: Metric, patience: int = 2, min_delta: float = 0
) -> tuple[EarlyStoppingState, int | None]:
    """The choice after these evaluations, and the first at which training would stop."""
    settings, choice, stopped = EarlyStopping(patience=patience, min_delta=min_delta), EarlyStoppingState(), None
    for step, value in enumerate(values, start=1):
        choice = choice.update(step, value, metric, settings)
        if stopped is None and choice.should_stop(settings):
            stopped = step
    return choice, stopped


@pytest.mark.parametrize(
    ("values", "metric", "best", "stopped"),
    [
        ([0.5, 0.6, 0.7], ACCURACY, 3, None),
        ([0.5, 0.7, 0.6, 0.6], ACCURACY, 2, 4),
        ([0.5, 0.7, 0.6, 0.8, 0.7, 0.7], ACCURACY, 4, 6),
        ([0.9, 0.5, 0.6, 0.7], LOSS, 2, 4),
        ([0.5, 0.6, 0.7], LOSS, 1, 3),
        ([0.5, 0.5, 0.5], ACCURACY, 1, 3),
    ],
)
def test_best_and_patience(values: list[float | None], metric: Metric, best: int, stopped: int | None) -> None:
    choice, stop = watched(values, metric)
    assert choice.best is not None
    assert (choice.best.step, choice.best.value, choice.best.metric) == (best, values[best - 1], metric.name)
    assert stop == stopped


def test_no_patience_never_stops() -> None:
    assert watched([0.5] * 50, ACCURACY, patience=0)[1] is None


def test_gains_below_min_delta_do_not_reset_patience_but_are_kept() -> None:
    choice, stopped = watched([0.70, 0.705, 0.709], ACCURACY, min_delta=0.01)
    assert stopped == 3
    assert choice.best is not None
    assert choice.best.step == 3


def test_small_gains_count_once_they_are_large_together() -> None:
    """Each is compared with the last value that counted, so slow progress is still progress."""
    _, stopped = watched([0.70, 0.705, 0.712, 0.716, 0.723], ACCURACY, min_delta=0.01)
    assert stopped is None


def test_a_gain_of_exactly_min_delta_does_not_count() -> None:
    assert watched([0.25, 0.5, 0.5], ACCURACY, min_delta=0.25)[1] == 3


def test_a_metric_that_is_not_defined_is_no_improvement() -> None:
    choice, stopped = watched([0.5, None, None], ACCURACY)
    assert stopped == 3
    assert choice.best is not None
    assert choice.best.step == 1
    assert watched([None, None], ACCURACY)[0].best is None


def with_losses(pairs: list[tuple[float, float]], metric: Metric, patience: int = 2) -> tuple[int, int | None]:
    """Step of the best of these (value, loss), and the first at which training would stop."""
    settings, choice, stopped = EarlyStopping(patience=patience), EarlyStoppingState(), None
    losses = dict(enumerate((loss for _, loss in pairs), start=1))
    for step, (value, loss) in enumerate(pairs, start=1):
        best = losses[choice.best.step] if choice.best else None
        choice = choice.update(step, value, metric, settings, loss=loss, best_loss=best)
        if stopped is None and choice.should_stop(settings):
            stopped = step
    assert choice.best is not None
    return choice.best.step, stopped


F1 = metric_named("f1Macro")


@pytest.mark.parametrize(
    ("pairs", "metric", "best", "stopped"),
    [
        ([(0.7, 0.9), (0.7, 0.5), (0.7, 0.6)], ACCURACY, 2, 3),
        ([(0.0, 0.9), (0.0, 0.8), (0.0, 0.7), (0.2, 0.6)], F1, 4, None),
        ([(0.0, 0.9), (0.0, 0.8), (0.0, 0.85), (0.0, 0.82)], F1, 2, 4),
        ([(1.0, 0.9), (1.0, 0.8), (1.0, 0.7)], F1, 3, 3),
        ([(0.7, 0.5), (0.6, 0.1), (0.7, 0.6)], ACCURACY, 1, 3),
    ],
    ids=["a tie", "nothing found yet", "nothing found, loss rises", "nothing left to gain", "a worse value"],
)
def test_of_equal_values_the_lower_loss_is_best(
    pairs: list[tuple[float, float]], metric: Metric, best: int, stopped: int | None
) -> None:
    assert with_losses(pairs, metric) == (best, stopped)


def test_the_worst_value_is_the_bad_end_of_the_range() -> None:
    assert (F1.worst, metric_named("matthews").worst, metric_named("brier").worst) == (0, -1, 2)
