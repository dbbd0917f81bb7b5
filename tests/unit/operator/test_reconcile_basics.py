"""From an accepted spec to a result: the plain way, and the ways a pod can end."""

import pytest
from snapshots import (
    DIGEST,
    after,
    begun,
    disrupted,
    ended,
    ended_pod,
    ended_well,
    failure,
    job,
    pod,
    running_pod,
    said,
    snapshot,
    status_of,
    stored,
    termination,
    then,
    told,
)

from finetune_api.live import Measured
from finetune_api.outcome import Artifacts, EvaluationResult, GateResult, Outcome, Progress
from finetune_api.status import Phase
from finetune_operator.plan import CreateJob, Snapshot
from finetune_operator.reconcile import reconcile


def test_a_new_job_gets_its_child_and_says_so_once() -> None:
    start = snapshot()
    plan = reconcile(start)
    assert [type(write) for write in plan.writes] == [CreateJob]
    assert plan.status.phase is Phase.STARTING
    assert [event.reason for event in plan.events] == ["Accepted"]
    again = reconcile(stored(start, plan))
    assert again.status == plan.status
    assert again.events == ()


def test_a_pod_that_runs_is_asked_for_its_progress() -> None:
    going = begun()
    plan = reconcile(going)
    assert plan.poll is not None
    assert said(plan.status, "Running") == ("True", "PodRunning")
    assert [attempt.number for attempt in plan.status.attempts] == [1]
    assert plan.status.active_since is not None


def test_progress_is_told_in_figures_and_in_words() -> None:
    going = begun()
    progress = Progress(step=120, total_steps=285, percent=42.1, loss=0.34512, eta_seconds=200)
    live = told(
        going.pods[0], phase=Phase.TRAINING, progress=progress, measured=Measured(step=95, metrics={"accuracy": 0.91})
    )
    plan = reconcile(then(going, live=live))
    assert plan.status.phase is Phase.TRAINING
    assert plan.status.summary is not None
    summary = plan.status.summary
    assert (summary.progress, summary.loss, summary.metric, summary.eta) == (
        "42% 120/285", "0.3451", "accuracy 0.91", "3m20s",
    )  # fmt: skip
    assert [event.reason for event in plan.events] == ["TrainingStarted"]


@pytest.mark.parametrize(
    ("steps", "shown"), [(168, "early stop 168/1120"), (1120, "100% 1120/1120")], ids=["early", "to the end"]
)
def test_success_does_not_look_like_a_run_cut_short(steps: int, shown: str) -> None:
    going = begun()
    live = told(going.pods[0], phase=Phase.TRAINING, progress=Progress(step=140, total_steps=1120, percent=12.5))
    trained = stored(going, reconcile(then(going, live=live)))
    plan = reconcile(then(trained, job(), ended_pod(0, termination(steps=steps)), now=after(60)))
    assert plan.status.summary is not None
    assert plan.status.summary.progress == shown


def test_success_needs_the_word_of_the_pod() -> None:
    plan = reconcile(ended_well())
    assert plan.status.phase is Phase.SUCCEEDED
    assert said(plan.status, "Succeeded") == ("True", "Succeeded")
    assert said(plan.status, "Failed") == ("False", "Succeeded")
    assert plan.status.artifacts is not None
    assert plan.status.artifacts.digest == DIGEST
    assert plan.status.completion_time == after(60)
    assert [event.reason for event in plan.events] == ["Succeeded"]
    assert "accuracy 0.913" in plan.events[0].message
    assert "s3://models/movies/movies/uid/model" in plan.events[0].message


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Traceback: the log's tail",
        termination(uid="another-job"),
        termination(artifacts=Artifacts(model="s3://models/x")),
        termination(Outcome.STOPPED),
        termination()[:-1],
    ],
    ids=["nothing", "log", "another job's", "no digest", "stopped", "cut off"],
)
def test_exit_code_0_alone_is_no_success(message: str) -> None:
    plan = reconcile(then(begun(), job(), ended_pod(0, message), now=after(60)))
    assert plan.status.phase is Phase.STARTING
    assert plan.status.failures == 1
    assert plan.status.attempts[0].reason == "ContainerCrashed"


@pytest.mark.parametrize(
    ("outcome", "code", "kind"),
    [(Outcome.SUCCEEDED, 0, "Succeeded"), (Outcome.GATE_FAILED, 86, "Failed")],
    ids=["no gate", "a gate"],
)
def test_a_condition_says_that_tuning_has_made_it_worse(outcome: Outcome, code: int, kind: str) -> None:
    remark = "the tuned model is worse than the one it started from: accuracy 0.9 -> 0.8 on test rows"
    gate = GateResult(metric="accuracy", value=0.8, baseline=0.9, limit="min 0.85", passed=not code)
    evaluation = EvaluationResult(metrics={"accuracy": 0.8}, baseline={"accuracy": 0.9}, gates=[gate], remark=remark)
    good = Artifacts(model="s3://models/movies/movies/uid/model", digest=DIGEST)
    end = termination(outcome, artifacts=good, evaluation=evaluation)
    plan = reconcile(then(begun(), job(), ended_pod(code, end), now=after(60)))
    assert said(plan.status, kind) == ("True", str(outcome))
    (told_there,) = [found.message for found in plan.status.conditions if found.type == kind]
    missed = "; gates missed: accuracy min 0.85" if code else ""
    assert told_there == f"the model is at {good.model}{missed}; {remark}"


def test_a_missed_gate_keeps_the_results() -> None:
    plan = reconcile(then(begun(), job(), ended_pod(86, termination(Outcome.GATE_FAILED)), now=after(60)))
    assert plan.status.phase is Phase.GATE_FAILED
    assert said(plan.status, "Failed") == ("True", "GateFailed")
    assert said(plan.status, "Succeeded") == ("False", "GateFailed")
    assert plan.status.artifacts is not None
    assert plan.status.failure is None


@pytest.mark.parametrize(
    ("child", "reason", "failures", "preemptions"),
    [
        (ended_pod(75, failure("Transient", "StorageUnavailable")), "StorageUnavailable", 1, 0),
        (ended_pod(70, failure("Internal", "InternalError")), "InternalError", 1, 0),
        (ended_pod(14, failure("Transient", "TrainerHung")), "TrainerHung", 1, 0),
        (ended_pod(14, "Current thread 0x1 (most recent call first):"), "TrainerHung", 1, 0),
        (ended_pod(1, "ImportError: no such thing"), "ContainerCrashed", 1, 0),
        (ended_pod(139), "ContainerCrashed", 1, 0),
        (ended_pod(137, reason="Evicted"), "ContainerCrashed", 1, 0),
        (ended_pod(85, termination(Outcome.STOPPED)), "Stopped", 0, 1),
        (ended_pod(130), "Stopped", 0, 1),
        (ended_pod(78), "Fenced", 0, 1),
        (disrupted(ended_pod(137)), "Preempted", 0, 1),
        (disrupted(ended_pod(85, termination(Outcome.STOPPED))), "Preempted", 0, 1),
        (disrupted(ended_pod(75, failure("Transient", "StorageUnavailable"))), "Preempted", 0, 1),
        (disrupted(pod(phase="Failed", container=None)), "Preempted", 0, 1),
        (pod(phase="Failed", container=None, reason="Evicted", message="exceeds the limit"), "ContainerCrashed", 1, 0),
        (pod(phase="Failed", container=None), "Lost", 1, 0),
    ],
)
def test_what_another_attempt_may_cure_is_retried(child: object, reason: str, failures: int, preemptions: int) -> None:
    plan = reconcile(then(begun(), job(), child, now=after(60)))  # type: ignore[arg-type]
    assert plan.status.phase is Phase.STARTING
    assert [attempt.reason for attempt in plan.status.attempts] == [reason]
    assert (plan.status.failures, plan.status.preemptions) == (failures, preemptions)
    assert [event.reason for event in plan.events] == ["Retrying" if failures else "Preempted"]


@pytest.mark.parametrize(
    ("child", "code", "kind"),
    [
        (ended_pod(64, failure("Spec", "ModelUnsuitable")), "ModelUnsuitable", "Spec"),
        (ended_pod(65, failure("Data", "ColumnMissing")), "ColumnMissing", "Data"),
        (ended_pod(66, failure("NotFound", "DataNotFound")), "DataNotFound", "NotFound"),
        (ended_pod(71, failure("Resources", "OutOfMemory")), "OutOfMemory", "Resources"),
        (ended_pod(72, failure("Training", "LossDiverged")), "LossDiverged", "Training"),
        (ended_pod(73, failure("Output", "OutputExists")), "OutputExists", "Output"),
        (ended_pod(77, failure("Permission", "PermissionDenied")), "PermissionDenied", "Permission"),
        (ended_pod(65), "DataUnreadable", "Data"),
        (ended_pod(77, termination(uid="another-job")), "PermissionDenied", "Permission"),
        (ended_pod(137, reason="OOMKilled"), "OutOfMemory", "Resources"),
        (disrupted(ended_pod(65, failure("Data", "ColumnMissing"))), "ColumnMissing", "Data"),
    ],
)
def test_what_no_attempt_can_cure_ends_the_job(child: object, code: str, kind: str) -> None:
    plan = reconcile(then(begun(), job(), child, now=after(60)))  # type: ignore[arg-type]
    assert plan.status.phase is Phase.FAILED
    assert plan.status.failure is not None
    assert (plan.status.failure.code, plan.status.failure.failure_class) == (code, kind)
    assert said(plan.status, "Failed") == ("True", code)
    assert [event.reason for event in plan.events] == ["Failed"]
    assert plan.events[0].message.startswith(f"{code}: ")


def test_out_of_memory_says_what_to_lower() -> None:
    plan = reconcile(then(begun(), job(), ended_pod(137, reason="OOMKilled"), now=after(60)))
    assert plan.status.failure is not None
    for remedy in ("perDeviceBatchSize", "activationCheckpointing", "compute profile"):
        assert remedy in plan.status.failure.hint


def test_the_last_line_of_the_log_explains_a_crash() -> None:
    log = "loading\nTraceback (most recent call last):\nImportError: libcuda.so.1: no such file\n"
    plan = reconcile(then(begun(runPolicy={"backoffLimit": 0}), job(), ended_pod(1, log), now=after(60)))
    assert plan.status.failure is not None
    assert "exit code 1: ImportError: libcuda.so.1: no such file" in plan.status.failure.message


def test_failures_beyond_the_limit_end_the_job() -> None:
    going = begun(runPolicy={"backoffLimit": 1})
    first = ended_pod(75, failure("Transient", "StorageUnavailable"))
    second = ended_pod(75, failure("Transient", "StorageUnavailable"), name="second", created=after(80), at=after(99))
    plan = reconcile(then(then(going, job(), first, now=after(60)), job(), first, second, now=after(100)))
    assert plan.status.phase is Phase.FAILED
    assert plan.status.failures == 2
    assert plan.status.failure is not None
    assert plan.status.failure.code == "StorageUnavailable"
    assert "backoffLimit is 1" in plan.status.failure.message


@pytest.mark.causes("TooManyPreemptions")
def test_preemptions_beyond_their_own_limit_end_the_job() -> None:
    plan = reconcile(then(begun(runPolicy={"maxPreemptions": 0}), job(), disrupted(ended_pod(137)), now=after(60)))
    assert plan.status.failure is not None
    assert plan.status.failure.code == "TooManyPreemptions"


def test_an_ended_attempt_is_counted_once_though_its_pod_vanishes() -> None:
    told_once = then(begun(), job(), ended_pod(1), now=after(60))
    later = then(told_once, job())
    assert status_of(later).failures == 1
    assert status_of(then(later)).failures == 1


def test_a_pod_that_vanishes_without_a_word_is_lost() -> None:
    plan = reconcile(then(begun(), job(failed=1)))
    assert plan.status.attempts[0].reason == "Lost"
    assert plan.status.failures == 1


def test_a_pod_that_nobody_saw_end_failed_only_if_its_job_says_so() -> None:
    """The Job counts failures before it lets go of a pod, and ignores those that were asked to stop."""
    plan = reconcile(then(begun(), job()))
    assert plan.status.attempts[0].reason == "Stopped"
    assert (plan.status.failures, plan.status.preemptions) == (0, 1)


def test_terminal_is_final() -> None:
    done = ended_well()
    done = then(done)
    late: Snapshot = then(done, job(), ended_pod(65, failure("Data", "ColumnMissing")), now=after(70))
    plan = reconcile(late)
    assert plan.status == status_of(done)
    assert plan.events == ()


def test_the_job_controller_may_be_seen_before_the_pod() -> None:
    going = begun()
    failed = job(conditions=ended("Failed", "BackoffLimitExceeded", at=after(60)))
    soon = then(going, failed, running_pod(), now=after(60))
    plan = reconcile(soon)
    assert plan.status.phase is not Phase.FAILED
    assert plan.writes == ()
    assert plan.again_at == after(70)
    assert reconcile(then(soon, failed, running_pod(), now=after(71))).status.phase is Phase.FAILED
