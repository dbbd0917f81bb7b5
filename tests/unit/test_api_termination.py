"""The termination message always fits and always reads back, with the most important parts in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.failures import catalogue
from finetune_api.outcome import Artifacts, Best, EvaluationResult, FailureInfo, GateResult, Outcome
from finetune_api.resolved import Resolved
from finetune_api.termination import TERMINATION_BYTES, Termination

DIGEST = "sha256:" + "0123456789abcdef" * 4
FINITE = st.floats(allow_nan=False, allow_infinity=False)
METRICS = st.dictionaries(st.text(max_size=300), FINITE, max_size=64)
GATES = st.builds(
    GateResult,
    metric=st.text(max_size=320),
    value=FINITE | st.none(),
    baseline=FINITE | st.none(),
    limit=st.text(max_size=128),
    passed=st.booleans(),
)
MESSAGES = st.builds(
    Termination,
    uid=st.uuids().map(str),
    attempt=st.integers(0, 2**40),
    outcome=st.sampled_from(Outcome),
    failure=st.none()
    | st.builds(
        FailureInfo,
        failure_class=st.sampled_from(sorted({failure.failure_class for failure in catalogue().values()})),
        code=st.sampled_from(sorted(catalogue())),
        message=st.text(max_size=1024),
        hint=st.text(max_size=1024),
    ),
    steps=st.integers(0, 2**40),
    resumed_from=st.none() | st.integers(0, 2**40),
    evaluation=st.none()
    | st.builds(
        EvaluationResult,
        metrics=METRICS,
        baseline=METRICS,
        gates=st.lists(GATES, max_size=32),
        best=st.none() | st.builds(Best, step=st.integers(0, 2**40), metric=st.text(max_size=128), value=FINITE),
    ),
    artifacts=st.builds(
        Artifacts, model=st.text(max_size=1400), report=st.text(max_size=1400), digest=st.sampled_from(["", DIGEST])
    ),
    data=st.text(max_size=1024),
)


@given(MESSAGES)
def test_it_fits_and_keeps_what_decides(message: Termination) -> None:
    text = message.encode()
    assert len(text.encode()) <= TERMINATION_BYTES
    read = Termination.decode(text)
    assert read is not None
    assert (read.uid, read.attempt, read.outcome, read.steps) == (
        message.uid,
        message.attempt,
        message.outcome,
        message.steps,
    )
    assert read.artifacts.digest == message.artifacts.digest
    assert (read.failure and read.failure.code) == (message.failure and message.failure.code)


def full(**metrics: float) -> Termination:
    return Termination(
        uid="u",
        outcome=Outcome.GATE_FAILED,
        evaluation=EvaluationResult(
            metrics={"accuracy": 0.5, "f1Macro": 0.25, **metrics},
            gates=[GateResult(metric="recall.rare", value=0.5, limit="min 0.9", passed=False)],
        ),
        artifacts=Artifacts(model="s3://b/m", report="s3://b/r", digest=DIGEST),
        resolved=Resolved(epochs=1, learning_rate=0.001, batch_size=8, max_length=64),
        data="9 train rows",
    )


def test_what_fits_is_whole() -> None:
    assert Termination.decode(full().encode()) == full()


def test_figures_of_single_classes_go_first() -> None:
    message = full(**{f"recall.{'long ' * 10}{number}": 0.5 for number in range(60)})
    read = Termination.decode(message.encode())
    assert read is not None
    assert read == full()


def test_then_all_figures_but_those_of_gates() -> None:
    message = full(**{"recall.rare": 0.5}, **{f"metric {'long ' * 10}{number}": 0.5 for number in range(60)})
    read = Termination.decode(message.encode())
    assert read is not None
    assert read.evaluation is not None
    assert read.evaluation.gates == full().evaluation.gates  # type: ignore[union-attr]
    assert read.artifacts == message.artifacts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Killed",
        "{}",
        "null",
        json.dumps({"uid": "u", "outcome": "Won"}),
        json.dumps({"format": "finetune.dev/termination/v2", "uid": "u", "outcome": "Failed"}),
        json.dumps({"uid": "u", "outcome": "Failed"}) + " " * TERMINATION_BYTES,
    ],
)
def test_what_is_no_message_is_not_believed(text: str) -> None:
    assert Termination.decode(text) is None
