"""The series of the jobs are made from the store, bounded, and right."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.exposition import generate_latest
from raw_objects import finetune_job

from finetune_api.live import Live, Measured
from finetune_operator.metrics import JOBS, KEPT_SECONDS, Metrics
from finetune_operator.plan import LiveRecord
from finetune_operator.projection import finetune_job_record
from finetune_operator.settings import Profile, Settings, TrainerImage
from finetune_operator.store import Kind, Store

SETTINGS = Settings(trainer=TrainerImage(name="trainer:1"), profiles={"default": Profile()})


def exposed(*statuses: dict[str, Any], live: dict[str, LiveRecord] | None = None) -> str:
    store = Store(SETTINGS)
    for number, status in enumerate(statuses):
        store.finetune_jobs.put(
            finetune_job_record(finetune_job(f"tune-{number}", name=f"job-{number}", status=status)), 1
        )
    store.live.update(live or {})
    return generate_latest(Metrics(store).registry).decode()


def test_a_job_has_its_figures() -> None:
    progress = {"step": 5, "totalSteps": 20, "percent": 25.0, "loss": 0.5, "learningRate": 0.001}
    text = exposed({"phase": "Training", "progress": progress})
    for line in (
        'finetune_jobs{namespace="team",phase="Training"} 1.0',
        'finetune_job_phase{name="job-0",namespace="team",phase="Training"} 1.0',
        'finetune_job_step{name="job-0",namespace="team"} 5.0',
        'finetune_job_progress_ratio{name="job-0",namespace="team"} 0.25',
        'finetune_job_loss{name="job-0",namespace="team"} 0.5',
    ):
        assert line in text
    assert "finetune_job_tokens_per_second{" not in text, "what is not known has no value"


def test_a_job_without_status_is_pending() -> None:
    assert 'finetune_jobs{namespace="team",phase="Pending"} 2.0' in exposed({}, {})


def test_evaluations_come_from_the_trainer_and_from_the_status() -> None:
    live = Live(uid="tune-0", measured=Measured(step=3, metrics={"accuracy": 0.5, "f1.good": 0.1}))
    text = exposed(
        {"phase": "Evaluating", "evaluation": {"metrics": {"accuracy": 0.75}}},
        live={"tune-0": LiveRecord("pod", live, datetime.now(UTC))},
    )
    assert 'finetune_job_eval_metric{metric="accuracy",name="job-0",namespace="team",split="validation"} 0.5' in text
    assert 'finetune_job_eval_metric{metric="accuracy",name="job-0",namespace="team",split="test"} 0.75' in text
    assert "f1.good" not in text


def test_series_go_some_time_after_the_end() -> None:
    now = datetime.now(UTC)
    ended = [(now - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ") for age in (10, KEPT_SECONDS + 10)]
    text = exposed(*({"phase": "Succeeded", "completionTime": time} for time in ended))
    assert 'finetune_job_phase{name="job-0"' in text
    assert 'finetune_job_phase{name="job-1"' not in text
    assert 'finetune_jobs{namespace="team",phase="Succeeded"} 2.0' in text


def test_there_is_a_limit_to_the_jobs_with_series() -> None:
    text = exposed(*({"phase": "Training"} for _ in range(JOBS + 5)))
    assert text.count("finetune_job_phase{") == JOBS
    assert f'finetune_jobs{{namespace="team",phase="Training"}} {JOBS + 5}.0' in text


def test_what_ended_is_counted_once() -> None:
    metrics = Metrics(Store(SETTINGS))
    first = {"number": 1, "reason": "Preempted"}
    running: dict[str, Any] = {"attempts": [first, {"number": 2, "reason": ""}], "startTime": "2026-11-21T12:00:00Z"}
    over = {
        **running, "attempts": [first, {"number": 2, "reason": "Succeeded"}], "phase": "Succeeded",
        "completionTime": "2026-11-21T12:01:00Z",
    }  # fmt: skip
    metrics.transition({}, {"attempts": [first]})
    metrics.transition({"attempts": [first]}, running)
    metrics.transition(running, over)
    metrics.transition(over, over)
    text = generate_latest(metrics.registry).decode()
    assert 'finetune_job_attempts_total{reason="Preempted"} 1.0' in text
    assert 'finetune_job_attempts_total{reason="Succeeded"} 1.0' in text
    assert 'finetune_job_duration_seconds_sum{phase="Succeeded"} 60.0' in text


def test_a_code_that_a_trainer_makes_up_has_no_series_of_its_own() -> None:
    metrics = Metrics(Store(SETTINGS))
    for number in range(1, 40):
        metrics.transition({}, {"attempts": [{"number": 1, "reason": f"MadeUp{number}"}]})
    text = generate_latest(metrics.registry).decode()
    assert "MadeUp" not in text
    assert text.count("finetune_job_attempts_total{") == 1


def test_the_age_of_a_watch_is_told() -> None:
    metrics = Metrics(Store(SETTINGS))
    metrics.watched(Kind.POD)
    text = generate_latest(metrics.registry).decode()
    (age,) = re.findall(r'finetune_watch_last_event_seconds{kind="pods"} (\S+)', text)
    assert 0 <= float(age) < 60


def test_what_is_saved_has_a_series_from_the_first_step_on() -> None:
    saved = [{"step": step, "uri": "s3://m/c"} for step in (10, 20)]
    text = exposed(
        {"phase": "Training", "progress": {"step": 5}},
        {"phase": "Training", "progress": {"step": 25}, "checkpoints": saved},
        {"phase": "Pending"},
    )
    lines = [line for line in text.splitlines() if line.startswith("finetune_job_checkpoint_step{")]
    assert sorted(line.split()[-1] for line in lines) == ["0.0", "20.0"]
