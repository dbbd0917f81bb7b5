"""Suspension has several owners: each writes `suspend` for its own wish, and none fights another."""

from dataclasses import replace

import pytest
from played_cluster import PlayedCluster
from snapshots import (
    after,
    begun,
    ended_pod,
    finetune_job,
    job,
    running_pod,
    said,
    snapshot,
    spec,
    status_of,
    then,
    with_policy,
)

from finetune_api.status import Phase
from finetune_operator.plan import CreateJob, DeleteJob, PatchJob
from finetune_operator.projection import child_job_record
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ChildJobRecord, ConditionRecord, Json

SUSPENDED = (ConditionRecord("Suspended", "True", "JobSuspended", since=after(100)),)
HELD = "SuspendedByOthers"


def held(**changes: object) -> ChildJobRecord:
    """The Job once somebody else has suspended it."""
    return job(**{"suspend": True, "conditions": SUSPENDED, "suspender": "kueue", **changes})


def test_what_somebody_else_suspends_is_left_to_them_and_said() -> None:
    plan = reconcile(then(begun(), held(), ended_pod(85, deleting=True), now=after(100)))
    assert plan.writes == ()
    assert plan.status.phase is Phase.QUEUED
    assert said(plan.status, "Progressing") == ("False", HELD)
    (message,) = [c.message for c in plan.status.conditions if c.type == "Progressing"]
    assert "suspended, by kueue, not for runPolicy.suspend" in message
    assert "compute.queue" in message
    assert HELD in [event.reason for event in plan.events]
    assert [attempt.reason for attempt in plan.status.attempts] == ["Suspended"]
    assert (plan.status.failures, plan.status.preemptions, plan.status.active_since) == (0, 0, None)


def test_it_goes_on_once_they_let_it_go() -> None:
    waiting = then(begun(), held(), ended_pod(85, deleting=True), now=after(100))
    resumed = then(waiting, job(started=after(5000)), ended_pod(85), now=after(5001))
    plan = reconcile(resumed)
    assert (plan.writes, plan.status.phase) == ((), Phase.STARTING)


def test_a_wish_of_the_user_is_written_once() -> None:
    asked = with_policy(begun(), suspend=True)
    assert [type(write) for write in reconcile(asked).writes] == [PatchJob]
    paused = then(asked, job(suspend=True, is_own_suspension=True, conditions=SUSPENDED))
    assert reconcile(paused).writes == ()
    overruled = then(paused, job(is_own_suspension=True))
    assert reconcile(overruled).writes == (DeleteJob("movies-8f14e45f", "job-1"),), "not suspended again and again"


def test_a_suspension_of_others_outlasts_that_of_the_user() -> None:
    """The user's wish is fulfilled already, so nothing is written; and ends without letting the Job go for others."""
    waiting = then(begun(), held(), now=after(100))
    both = then(with_policy(waiting, suspend=True), held())
    assert (reconcile(both).writes, reconcile(both).status.phase) == ((), Phase.SUSPENDED)
    after_all = with_policy(then(both, held()), suspend=False)
    assert (reconcile(after_all).writes, reconcile(after_all).status.phase) == ((), Phase.QUEUED)


def test_a_job_that_an_older_operator_has_suspended_is_resumed() -> None:
    asked = then(with_policy(begun(), suspend=True))
    paused = then(asked, job(suspend=True, conditions=SUSPENDED))
    (write,) = reconcile(with_policy(paused, suspend=False)).writes
    assert isinstance(write, PatchJob)
    assert write.patch["spec"]["suspend"] is False


def test_a_job_of_a_killed_operator_is_suspended_too() -> None:
    """It was created, and the operator was killed before the status said so; then its user suspends."""
    cluster = PlayedCluster()
    cluster.carry_out(reconcile(cluster.snapshot()), cluster.version, stop_after=1)
    cluster.patch_policy(suspend=True)
    cluster.settle()
    assert cluster.status.phase is Phase.SUSPENDED
    assert [pod for pod in cluster.at_work() if not pod.deleting] == []
    (record,) = cluster.jobs.values()
    assert record.suspend


# Deadlines.


def played(**policy: object) -> PlayedCluster:
    """A job whose pod runs."""
    cluster = PlayedCluster(finetune_job(spec(runPolicy=policy)))
    cluster.settle()
    cluster.start(cluster.at_work()[0])
    cluster.settle()
    return cluster


@pytest.mark.parametrize("while_suspended", [{}, {"activeDeadlineSeconds": 40}])
def test_a_suspension_longer_than_the_deadline_ends_nothing(while_suspended: Json) -> None:
    """The Job controller compares the deadline with the old start before it resets it."""
    cluster = played(activeDeadlineSeconds=60)
    cluster.pass_time(7)
    cluster.patch_policy(suspend=True)
    cluster.settle()
    cluster.end(cluster.running()[0], 85)
    cluster.settle()
    assert cluster.status.phase is Phase.SUSPENDED
    cluster.patch_policy(**while_suspended)
    cluster.settle()
    cluster.pass_time(100_000)
    cluster.patch_policy(suspend=False)
    cluster.settle()
    assert cluster.status.phase is Phase.STARTING
    (record,) = cluster.jobs.values()
    assert record.active_deadline_seconds == while_suspended.get("activeDeadlineSeconds", 60) - 7
    cluster.start(cluster.at_work()[0])
    cluster.pass_time(60)
    cluster.settle()
    assert cluster.status.failure is not None
    assert cluster.status.failure.code == "ActiveDeadlineExceeded"


def test_so_does_one_of_others() -> None:
    cluster = played(activeDeadlineSeconds=60)
    cluster.pass_time(7)
    (uid,) = cluster.jobs
    cluster.jobs[uid] = replace(cluster.jobs[uid], suspend=True)
    cluster.settle()
    cluster.end(cluster.running()[0], 85)
    cluster.settle()
    assert cluster.status.phase is Phase.QUEUED
    cluster.pass_time(100_000)
    cluster.jobs[uid] = replace(cluster.jobs[uid], suspend=False)
    cluster.settle()
    assert cluster.status.phase is Phase.STARTING
    assert cluster.jobs[uid].active_deadline_seconds == 53


# Queues.

QUEUED = "kueue.x-k8s.io/queue-name"


def test_kueue_s_label_on_the_job_counts_like_the_field() -> None:
    labelled = snapshot(of=finetune_job(queue="research", queue_priority="high"))
    plan = reconcile(labelled)
    (created,) = plan.writes
    assert isinstance(created, CreateJob)
    assert (
        created.manifest["metadata"]["labels"] | {QUEUED: "research", "kueue.x-k8s.io/priority-class": "high"}
        == (created.manifest["metadata"]["labels"])
    )
    assert created.manifest["spec"]["suspend"] is True
    assert plan.status.phase is Phase.QUEUED
    assert plan.events[-1].message.endswith("it waits in queue research")


def test_two_queues_are_refused() -> None:
    plan = reconcile(snapshot(of=finetune_job(spec(compute={"queue": "other"}), queue="research")))
    assert plan.status.failure is not None
    assert (plan.status.failure.code, plan.writes) == ("SpecInvalid", ())
    assert "spec.compute.queue" in plan.status.failure.message


def test_a_check_waits_in_the_queue_too() -> None:
    compute = {"profile": "gpu", "gpusPerNode": 1, "queue": "research"}
    start = snapshot(of=finetune_job(spec(compute=compute)))
    (created,) = reconcile(start).writes
    assert isinstance(created, CreateJob)
    assert created.manifest["metadata"]["name"].endswith("-check")
    assert created.manifest["metadata"]["labels"][QUEUED] == "research"
    check = job(name="movies-8f14e45f-check", uid="check-1", mode="Validate", queue="research")
    queued = then(start, replace(check, suspend=True, started=None), now=after(60))
    assert (reconcile(queued).status.phase, reconcile(queued).writes) == (Phase.QUEUED, ())
    admitted = then(queued, check, running_pod(owner_uid="check-1"), now=after(70))
    assert reconcile(admitted).status.phase is Phase.VALIDATING


def test_a_default_queue_of_kueue_s_webhook_is_respected() -> None:
    waiting = then(snapshot(), job(suspend=True, started=None, queue="default"), now=after(10))
    assert (reconcile(waiting).writes, reconcile(waiting).status.phase) == ((), Phase.QUEUED)
    assert said(reconcile(waiting).status, "Progressing") == ("True", "Queued")
    running = then(waiting, job(queue="default"), running_pod(), now=after(20))
    assert reconcile(with_policy(running, suspend=True)).writes == (DeleteJob("movies-8f14e45f", "job-1"),)


def test_who_suspends_is_read_from_the_managed_fields() -> None:
    owned = {"f:spec": {"f:suspend": {}}}
    body: Json = {
        "metadata": {
            "name": "j", "namespace": "team", "uid": "u", "labels": {QUEUED: "research"},
            "managedFields": [
                {"manager": "finetune-operator", "time": "2026-11-21T12:00:00Z", "fieldsV1": owned},
                {"manager": "kubectl-patch", "time": "2026-11-21T12:05:00Z", "fieldsV1": owned},
                {"manager": "kubelet", "time": "2026-11-21T12:06:00Z", "fieldsV1": {"f:status": {}}},
            ],
        },
        "spec": {"suspend": True},
    }  # fmt: skip
    record = child_job_record(body)
    assert (record.suspender, record.is_own_suspension, record.queue) == ("kubectl-patch", False, "research")
    body["metadata"]["annotations"] = {"finetune.dev/suspended": "runPolicy"}
    body["metadata"]["managedFields"].pop(1)
    assert (child_job_record(body).suspender, child_job_record(body).is_own_suspension) == ("", True)


def test_every_end_is_a_finished_one() -> None:
    assert said(status_of(begun()), "Finished") == ("False", "NotFinished")
    for pod, phase in ((ended_pod(65), "Failed"), (ended_pod(86), "GateFailed")):
        assert said(reconcile(then(begun(), job(), pod)).status, "Finished") == ("True", phase)
