"""`runPolicy`: suspension, deadlines, retries and stalls."""

from dataclasses import replace

import pytest
from snapshots import (
    after,
    begun,
    ended_pod,
    failed_with,
    failure,
    finetune_job,
    job,
    pod,
    running_pod,
    said,
    snapshot,
    spec,
    status_of,
    still_says,
    stored,
    termination,
    then,
    told,
    waiting_pod,
    with_policy,
)

from finetune_api.outcome import Outcome, Progress
from finetune_api.status import Phase
from finetune_operator.plan import DeleteJob, DeletePod, PatchJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ConditionRecord

OURS = {"metadata": {"annotations": {"finetune.dev/suspended": "runPolicy"}}}
NOT_OURS = {"metadata": {"annotations": {"finetune.dev/suspended": None}}}
SUSPENDED = (ConditionRecord("Suspended", "True", "JobSuspended", since=after(100)),)


def test_a_job_that_is_born_suspended_gets_no_child() -> None:
    plan = reconcile(snapshot(of=finetune_job(spec(runPolicy={"suspend": True}))))
    assert plan.writes == ()
    assert plan.status.phase is Phase.SUSPENDED
    assert [event.reason for event in plan.events] == ["Accepted", "Suspended"]


def test_suspension_frees_the_pod_and_keeps_the_count() -> None:
    asked = with_policy(begun(), suspend=True)
    assert reconcile(asked).writes == (PatchJob("movies-8f14e45f", "job-1", {**OURS, "spec": {"suspend": True}}),)
    paused = job(suspend=True, conditions=SUSPENDED, started=None)
    saving = then(asked, paused, replace(running_pod(), deleting=True), now=after(100))
    assert said(reconcile(saving).status, "Suspended") == ("False", "Suspending")
    freed = then(saving, paused, ended_pod(85, termination(Outcome.STOPPED), deleting=True), now=after(130))
    plan = reconcile(freed)
    assert plan.status.phase is Phase.SUSPENDED
    assert said(plan.status, "Suspended") == ("True", "Suspended")
    assert [attempt.reason for attempt in plan.status.attempts] == ["Suspended"]
    assert (plan.status.failures, plan.status.preemptions) == (0, 0)
    assert (plan.status.active_since, plan.status.active_seconds) == (None, 100)
    assert [event.reason for event in plan.events] == ["Suspended"]


def test_a_pod_that_was_killed_while_suspending_is_no_failure() -> None:
    asked = then(with_policy(begun(), suspend=True))
    plan = reconcile(then(asked, job(suspend=True), ended_pod(137, deleting=True)))
    assert [attempt.reason for attempt in plan.status.attempts] == ["Suspended"]


def test_resumption_goes_on_with_what_is_left_of_the_deadline() -> None:
    asked = then(with_policy(begun(runPolicy={"activeDeadlineSeconds": 500}), suspend=True))
    paused = then(asked, job(suspend=True, conditions=SUSPENDED, started=None), now=after(100))
    later = with_policy(then(paused, now=after(9000)), suspend=False)
    assert reconcile(later).writes == (
        PatchJob("movies-8f14e45f", "job-1", {**NOT_OURS, "spec": {"suspend": False, "activeDeadlineSeconds": 400}}),
    )
    resumed = then(later, job(started=after(9001), active_deadline_seconds=400), now=after(9002))
    plan = reconcile(resumed)
    assert "Resumed" in {event.reason for event in plan.events} | {e.reason for e in reconcile(later).events}
    assert plan.again_at is not None
    assert reconcile(then(resumed, now=after(9400))).status.phase is not Phase.FAILED
    assert failed_with(then(resumed, now=after(9401))) == "ActiveDeadlineExceeded"


def test_resumption_is_no_wait_for_a_pod() -> None:
    """Before the Job controller has begun anew, nothing is late, however long the suspension was."""
    paused = then(with_policy(begun(), suspend=True), job(suspend=True, conditions=SUSPENDED, started=None))
    later = with_policy(then(paused, now=after(9000)), suspend=False)
    assert reconcile(then(later, job(started=None))).status.phase is Phase.STARTING
    assert reconcile(then(later, job(conditions=SUSPENDED))).status.phase is Phase.STARTING


def test_kueue_owns_the_suspension_of_a_queued_job() -> None:
    queued = snapshot(of=finetune_job(spec(compute={"queue": "research"})))
    plan = reconcile(queued)
    assert plan.status.phase is Phase.QUEUED
    assert [event.reason for event in plan.events] == ["Accepted", "Queued"]
    waiting = then(queued, job(suspend=True, started=None), now=after(7200))
    assert reconcile(waiting).writes == ()
    assert reconcile(waiting).status.phase is Phase.QUEUED
    admitted = then(waiting, job(started=after(7200)), now=after(7201))
    assert reconcile(admitted).writes == ()
    assert reconcile(admitted).status.phase is Phase.STARTING
    assert reconcile(with_policy(admitted, suspend=True)).writes == (DeleteJob("movies-8f14e45f", "job-1"),)


@pytest.mark.parametrize("code", [85, 137])
def test_kueue_s_preemption_is_counted_as_one(code: int) -> None:
    going = begun(compute={"queue": "research"})
    stopped = ended_pod(code, deleting=True)
    plan = reconcile(then(going, job(suspend=True, started=None), stopped, now=after(60)))
    assert (plan.status.phase, plan.status.preemptions) == (Phase.QUEUED, 1)


@pytest.mark.causes("ActiveDeadlineExceeded")
def test_active_deadline_counts_all_attempts() -> None:
    going = begun(runPolicy={"activeDeadlineSeconds": 300})
    again = then(going, job(), ended_pod(1), now=after(200))
    assert reconcile(then(again, now=after(299))).status.phase is not Phase.FAILED
    late = then(again, now=after(300))
    assert failed_with(late) == "ActiveDeadlineExceeded"
    assert reconcile(late).status.active_seconds == 300


def test_a_lower_backoff_limit_reaches_the_child_and_counts_at_once() -> None:
    going = begun()
    assert reconcile(with_policy(going, backoffLimit=1)).writes == (
        PatchJob("movies-8f14e45f", "job-1", {"spec": {"backoffLimit": 1}}),
    )
    failed_once = then(going, job(), ended_pod(75, failure("Transient", "StorageUnavailable")), now=after(60))
    assert failed_with(with_policy(then(failed_once), backoffLimit=0)) == "StorageUnavailable"


@pytest.mark.causes("ImageUnavailable", "PodUnschedulable", "PodNotStarted")
@pytest.mark.parametrize(
    ("child", "code", "words"),
    [
        (waiting_pod("ErrImagePull", "manifest unknown"), "ImageUnavailable", "manifest unknown"),
        (waiting_pod("ImagePullBackOff", "Back-off pulling image"), "ImageUnavailable", "Back-off pulling image"),
        (waiting_pod("InvalidImageName"), "ImageUnavailable", "InvalidImageName"),
        (waiting_pod("ErrImageNeverPull"), "ImageUnavailable", "ErrImageNeverPull"),
        (waiting_pod("CreateContainerError", "no such device"), "PodNotStarted", "no such device"),
        (waiting_pod("ContainerCreating"), "PodNotStarted", "kubectl describe pod"),
        (
            pod(container=None, conditions=(ConditionRecord("PodScheduled", "False", "Unschedulable", "0/3 nodes"),)),
            "PodUnschedulable",
            "0/3 nodes",
        ),
        (None, "PodNotStarted", "kubectl describe job movies-8f14e45f"),
    ],
)
def test_a_pod_that_does_not_start_in_time_ends_the_job_with_its_reason(child: object, code: str, words: str) -> None:
    children = [record for record in (job(), child) if record is not None]
    limited = finetune_job(spec(runPolicy={"preRunningDeadlineSeconds": 900} if code == "PodUnschedulable" else {}))
    early = then(snapshot(of=limited), *children, now=after(899))  # type: ignore[arg-type]
    assert reconcile(early).status.phase is Phase.STARTING
    assert reconcile(early).again_at in {after(900), after(910)}
    late = then(early, now=after(910))
    assert failed_with(late) == code
    failure_told = reconcile(late).status.failure
    assert failure_told is not None
    assert words in failure_told.message


def test_what_is_wrong_with_a_pod_is_told_at_once_and_what_is_slow_after_a_while() -> None:
    start = snapshot()
    broken = reconcile(then(start, job(), waiting_pod("ErrImagePull", "manifest unknown"), now=after(1)))
    assert said(broken.status, "Progressing") == ("False", "ImageUnavailable")
    assert [event.reason for event in broken.events] == ["ImageUnavailable"]
    slow = then(start, job(), waiting_pod("ContainerCreating"), now=after(1))
    assert reconcile(slow).status == status_of(slow)
    assert reconcile(slow).again_at == after(5)
    assert said(reconcile(then(slow, now=after(5))).status, "Progressing") == ("True", "PodStarting")


def test_pre_running_deadline_waits_for_the_backoff_of_the_job_controller() -> None:
    going = then(begun(runPolicy={"preRunningDeadlineSeconds": 5}), job(), ended_pod(1), now=after(60))
    assert reconcile(then(going, now=after(74))).status.phase is Phase.STARTING
    assert failed_with(then(going, now=after(75))) == "PodNotStarted"


def stalling() -> Snapshot:
    going = begun(runPolicy={"stallSeconds": 100})
    live = told(going.pods[0], phase=Phase.TRAINING, progress=Progress(step=5, total_steps=10))
    return then(going, live=live)


@pytest.mark.causes("Stalled")
def test_an_attempt_that_stands_still_is_replaced_and_counted() -> None:
    going = then(stalling())
    assert reconcile(going).again_at == after(100)
    still = still_says(going, 100)
    plan = reconcile(still)
    assert (plan.writes, plan.status.failures) == ((), 1)
    assert [attempt.reason for attempt in plan.status.attempts] == ["Stalled"]
    assert reconcile(stored(still, plan)).writes == (
        DeletePod("movies-8f14e45f-0-aaaaa", "uid-of-movies-8f14e45f-0-aaaaa"),
    )
    assert failed_with(with_policy(still, backoffLimit=0)) == "Stalled"


def test_what_moves_is_looked_at_again_in_case_it_stops() -> None:
    """The status that tells the movement is the last word: nothing else would wake the operator."""
    assert reconcile(stalling()).again_at == after(100)


def test_rates_are_no_progress_and_steps_are() -> None:
    going = then(stalling())
    faster = Progress(step=5, total_steps=10, eta_seconds=12, tokens_per_second=99)
    assert reconcile(still_says(going, 100, progress=faster)).status.failures == 1
    further = Progress(step=6, total_steps=10)
    assert reconcile(still_says(going, 100, progress=further)).status.failures == 0
    assert reconcile(still_says(going, 100, doing="exporting 12%")).status.failures == 0


def test_a_trainer_that_can_not_be_asked_is_not_stalled() -> None:
    going = then(stalling())
    assert reconcile(replace(going, live=None, now=after(5000))).status.failures == 0
    assert reconcile(replace(going, now=after(5000))).status.failures == 0


def test_a_replaced_job_does_not_set_the_deadline_anew() -> None:
    going = then(begun(runPolicy={"activeDeadlineSeconds": 300}))
    lost = then(replace(going, jobs=(), pods=()), now=after(200))
    again = then(lost, job(uid="job-2", created=after(201), started=after(201), active_deadline_seconds=99))
    assert reconcile(then(again, now=after(299))).status.phase is not Phase.FAILED
    assert failed_with(then(again, now=after(300))) == "ActiveDeadlineExceeded"
