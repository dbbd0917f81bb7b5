"""Containers that an admission webhook puts beside the trainer's: when that has ended, the pod is ended too."""

from dataclasses import replace

import pytest
from snapshots import (
    after,
    begun,
    ended_pod,
    ended_well,
    failure,
    job,
    on_gpu,
    snapshot,
    status_of,
    stored,
    termination,
    then,
)

from finetune_api.outcome import Outcome
from finetune_api.status import Phase
from finetune_operator.plan import CreateJob, DeletePod, PatchJob, Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ContainerRecord, ContainerState, OtherContainer, PodRecord

PROXY = OtherContainer("istio-proxy", False, ContainerRecord(ContainerState.RUNNING))
PULLS = OtherContainer("agent", False, ContainerRecord(ContainerState.WAITING, "ImagePullBackOff"))
GONE = OtherContainer("istio-proxy", False, ContainerRecord(ContainerState.TERMINATED, "Error", "", 143))
END_NOW = {"spec": {"activeDeadlineSeconds": 1}}


def kept(code: int, message: str = "", by: OtherContainer = PROXY) -> PodRecord:
    """A pod whose trainer has ended, and another container has not."""
    return ended_pod(code, message, phase="Running", others=(by,))


def at_seconds(some: Snapshot, seconds: float) -> Snapshot:
    return replace(some, now=after(seconds))


@pytest.mark.parametrize("by", [PROXY, PULLS])
@pytest.mark.parametrize(
    ("code", "message", "phase"),
    [
        (0, termination(), Phase.SUCCEEDED),
        (86, termination(Outcome.GATE_FAILED), Phase.GATE_FAILED),
        (65, failure("Data", "ColumnMissing"), Phase.FAILED),
    ],
)
def test_what_is_left_of_a_pod_is_ended_with_its_job(code: int, message: str, phase: Phase, by: OtherContainer) -> None:
    """But a sidecar that sees for itself that it is over has ten seconds for it: logs stay then."""
    ended = then(begun(), job(), kept(code, message, by), now=after(60))
    assert status_of(stored(ended, reconcile(ended))).phase is phase
    done = stored(ended, reconcile(ended))
    patient = reconcile(at_seconds(done, 65))
    assert patient.writes == ()
    assert patient.again_at == after(70)
    assert reconcile(at_seconds(done, 71)).writes == (PatchJob("movies-8f14e45f", "job-1", END_NOW),)


def test_without_a_sidecar_the_job_controller_ends_the_job() -> None:
    ended = ended_well()
    done = stored(ended, reconcile(ended))
    assert reconcile(at_seconds(done, 3600)).writes == ()


def test_a_sidecar_that_failed_makes_no_second_pod_of_a_run_that_succeeded() -> None:
    """Its exit code fails the pod, and the Job would be tried again."""
    ended = then(begun(), job(), ended_pod(0, termination(), phase="Failed", others=(GONE,)), now=after(60))
    done = stored(ended, reconcile(ended))
    assert status_of(done).phase is Phase.SUCCEEDED
    assert reconcile(done).writes == (PatchJob("movies-8f14e45f", "job-1", END_NOW),)


def test_the_pod_of_an_attempt_that_is_retried_is_deleted_once_its_end_is_told() -> None:
    pod = kept(75, failure("Transient", "StorageUnavailable"))
    ended = replace(begun(), jobs=(job(),), pods=(pod,), now=after(75))
    first = reconcile(ended)
    assert first.writes == ()
    told = stored(ended, first)
    assert status_of(told).failures == 1
    assert reconcile(told).writes == (DeletePod(pod.name, pod.uid),)


def test_a_retried_attempt_waits_for_its_sidecar_and_looks_again() -> None:
    pod = kept(75, failure("Transient", "StorageUnavailable"))
    told = then(replace(begun(), jobs=(job(),), pods=(pod,), now=after(61)))
    plan = reconcile(told)
    assert plan.writes == ()
    assert plan.again_at == after(70)


def test_a_check_with_a_sidecar_lets_training_begin_and_is_ended() -> None:
    check = job(name="movies-8f14e45f-check", mode="Validate")
    some = snapshot(check, kept(0), of=on_gpu())
    plan = reconcile(at_seconds(some, 61))
    assert [type(write) for write in plan.writes] == [CreateJob]
    training = replace(stored(some, plan), jobs=(check, job(uid="job-2", started=None)), now=after(71))
    training = replace(training, created=frozenset({"job-1", "job-2"}))
    assert PatchJob(check.name, check.uid, END_NOW) in reconcile(training).writes


def test_a_sidecar_beside_a_trainer_that_runs_changes_nothing() -> None:
    running = begun()
    beside = replace(running, pods=tuple(replace(pod, others=(PROXY,)) for pod in running.pods))
    assert replace(reconcile(beside), poll=None) == replace(reconcile(running), poll=None)
