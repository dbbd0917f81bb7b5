"""Pods whose trainer never starts: init containers that fail, and nodes that refuse the pod."""

from dataclasses import replace

import pytest
from snapshots import after, failed_with, job, pod, said, snapshot, status_of, stored, then

from finetune_api.status import Phase
from finetune_operator.plan import Snapshot
from finetune_operator.reconcile import reconcile
from finetune_operator.records import ContainerRecord, ContainerState, OtherContainer, PodRecord

STARTING = ContainerRecord(ContainerState.WAITING, "PodInitializing")


def init(name: str, container: ContainerRecord) -> OtherContainer:
    return OtherContainer(name, True, container)


def failed_init(name: str = "movies-8f14e45f-0-aaaaa", code: int = 255, log: str = "") -> PodRecord:
    ended = ContainerRecord(ContainerState.TERMINATED, "Error", log, code)
    return pod(name, phase="Failed", container=STARTING, others=(init("istio-init", ended),))


def refused(reason: str, message: str = "", name: str = "movies-8f14e45f-0-aaaaa") -> PodRecord:
    return pod(name, phase="Failed", reason=reason, message=message, container=None)


def progressing(some: Snapshot) -> str:
    return next(found.message for found in reconcile(some).status.conditions if found.type == "Progressing")


@pytest.mark.causes("InitContainerFailed")
def test_an_init_container_that_fails_is_named_with_its_exit_code() -> None:
    some = then(snapshot(job(backoff_limit=0)), job(), failed_init(log="iptables: permission denied"))
    assert status_of(stored(some, reconcile(some))).attempts[0].reason == "InitContainerFailed"
    assert "init container istio-init" in progressing(some)
    assert "exit code 255" in progressing(some)
    pods = tuple(failed_init(f"movies-8f14e45f-0-{number}") for number in "abcd")
    end = reconcile(replace(some, pods=pods)).status
    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert (end.failure.code, end.failure.failure_class) == ("InitContainerFailed", "Transient")
    assert "istio-init" in end.failure.message
    assert "-c istio-init" in end.failure.hint


def test_an_init_container_that_was_killed_for_its_memory_says_so() -> None:
    ended = ContainerRecord(ContainerState.TERMINATED, "OOMKilled", "", 137)
    some = then(snapshot(job()), job(), pod(phase="Failed", container=STARTING, others=(init("agent", ended),)))
    assert "OOMKilled" in progressing(some)


@pytest.mark.parametrize(
    ("reason", "code"),
    [("ImagePullBackOff", "ImageUnavailable"), ("CreateContainerConfigError", "PodNotStarted")],
)
@pytest.mark.parametrize("is_init", [True, False])
def test_another_container_that_can_not_start_is_named(reason: str, code: str, is_init: bool) -> None:
    waits = ContainerRecord(ContainerState.WAITING, reason, "no such image")
    other = OtherContainer("vault-agent", is_init, waits)
    some = then(snapshot(job()), job(), pod(container=STARTING, others=(other,)))
    assert said(reconcile(some).status, "Progressing") == ("False", code)
    assert f"{'init ' if is_init else ''}container vault-agent of pod" in progressing(some)
    assert reason in progressing(some)
    assert failed_with(replace(some, now=after(901))) == code


def test_an_init_container_that_takes_long_is_named() -> None:
    runs = ContainerRecord(ContainerState.RUNNING)
    some = then(
        snapshot(job()), job(), pod(container=STARTING, others=(init("vault-agent-init", runs),)), now=after(30)
    )
    assert "waits for init container vault-agent-init, which runs" in progressing(some)


@pytest.mark.parametrize("reason", ["UnexpectedAdmissionError", "OutOfnvidia.com/gpu", "OutOfcpu", "NodeAffinity"])
def test_a_pod_that_its_node_refuses_counts_as_an_interruption(reason: str) -> None:
    some = then(snapshot(job()), job(), refused(reason, "no healthy devices present"))
    status = reconcile(some).status
    assert (status.failures, status.preemptions) == (0, 1)
    assert status.attempts[0].reason == "NodeRefusedPod"
    assert "node node1 could not give pod" in progressing(some)
    assert f"({reason}): no healthy devices present" in progressing(some)
    assert [event.reason for event in reconcile(some).events if event.type == "Warning"] == ["NodeRefusedPod"]


@pytest.mark.causes("NodeRefusedPod")
def test_nodes_that_refuse_again_and_again_end_the_job_with_the_right_remedy() -> None:
    pods = [refused("OutOfnvidia.com/gpu", name=f"movies-8f14e45f-0-{number:03}") for number in range(60)]
    some = then(snapshot(job()), job(), *pods)
    assert failed_with(some) == "NodeRefusedPod"
    failure = reconcile(some).status.failure
    assert failure is not None
    assert failure.failure_class == "Cluster"
    assert "device plug-in" in failure.hint
    assert "memory" not in failure.hint


@pytest.mark.parametrize("reason", ["Terminated", "NodeShutdown", "Preempting"])
def test_a_pod_that_ended_with_its_node_was_preempted(reason: str) -> None:
    some = then(snapshot(job()), job(), refused(reason, "Pod was terminated in response to imminent node shutdown."))
    assert reconcile(some).status.attempts[0].reason == "Preempted"


def test_a_pod_that_was_evicted_for_its_own_appetite_is_a_failure() -> None:
    some = then(snapshot(job()), job(), refused("Evicted", "Usage of EmptyDir volume exceeds the limit"))
    assert reconcile(some).status.attempts[0].reason == "ContainerCrashed"
