"""What people and machines do to running jobs: pods, Jobs and namespaces deleted, the operator away meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kubectl_commands import Json, Kubectl, restricted_namespace, wait_until
from tuning_jobs import Tuning, endless_job, tiny_job

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def namespace(namespace_with_credentials: Callable[[str], str]) -> str:
    return namespace_with_credentials("interruptions")


@pytest.fixture
def endless(kubectl: Kubectl, namespace: str, request: pytest.FixtureRequest) -> Iterator[Tuning]:
    """A job that trains, and would go on for days."""
    tuning = Tuning(kubectl, namespace, f"endless-{abs(hash(request.node.name)) % 10_000}")
    kubectl.apply(endless_job(tuning.name, namespace))
    tuning.wait_for_training()
    yield tuning
    tuning.delete()


@contextmanager
def ended_unwatched(tuning: Tuning, scale_operator: Callable[[int], None]) -> Iterator[None]:
    """Run a job to its end while there is no operator; there is one again after the block."""
    tuning.kubectl.apply(tiny_job(tuning.name, tuning.namespace))
    wait_until("it has a pod", tuning.pods, 30)
    scale_operator(0)
    try:
        wait_until("its pod ended", lambda: tuning.pods()[0]["status"]["phase"] == "Succeeded", 90)
        yield
    finally:
        scale_operator(1)


def test_pod_that_is_deleted_is_replaced(endless: Tuning, kubectl: Kubectl) -> None:
    first = endless.pods()[0]["metadata"]["name"]
    kubectl("delete", "pod", first, "-n", endless.namespace)
    status = endless.wait_for_training(attempt=2)
    assert [attempt["pod"] == first for attempt in status["attempts"]] == [True, False]
    assert status["attempts"][0]["reason"]
    assert len(endless.jobs()) == 1


def test_job_that_is_deleted_is_made_again(endless: Tuning, kubectl: Kubectl) -> None:
    first = endless.jobs()[0]["metadata"]
    kubectl("delete", "job", first["name"], "-n", endless.namespace)
    status = endless.wait_for_training(attempt=2)
    (second,) = endless.jobs()
    assert (second["metadata"]["name"], second["metadata"]["uid"] == first["uid"]) == (first["name"], False)
    assert status["attempts"][0]["reason"]


def test_nothing_is_left_of_a_job_that_is_deleted_while_it_trains(endless: Tuning, kubectl: Kubectl) -> None:
    (pod,) = endless.pods()
    started = time.monotonic()
    endless.delete()
    wait_until("its Job and pod are gone", lambda: not endless.jobs() and not endless.pods(), 40)
    assert kubectl.get("pod", pod["metadata"]["name"], endless.namespace) is None
    assert time.monotonic() - started < 40


def test_job_that_ends_while_the_operator_is_away_gets_its_outcome(
    kubectl: Kubectl, namespace: str, scale_operator: Callable[[int], None]
) -> None:
    tuning = Tuning(kubectl, namespace, "unwatched")
    with ended_unwatched(tuning, scale_operator):
        assert tuning.phase != "Succeeded"
    status = tuning.wait_for_phase("Succeeded", seconds=10)
    assert status["artifacts"]["digest"]
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Succeeded"]
    assert tuning.events()[-1]["reason"] == "Succeeded"


def test_result_is_found_again_though_the_pod_that_told_it_is_gone(
    kubectl: Kubectl, namespace: str, scale_operator: Callable[[int], None]
) -> None:
    """The output has its manifest already: another pod reads it and tells it, without training again."""
    tuning = Tuning(kubectl, namespace, "untold")
    with ended_unwatched(tuning, scale_operator):
        (pod,) = tuning.pods()
        kubectl("delete", "pod", pod["metadata"]["name"], "-n", namespace)
    status = tuning.wait_for_phase("Succeeded")
    (second,) = tuning.pods()
    assert second["metadata"]["uid"] != pod["metadata"]["uid"]
    assert "finished" in kubectl("logs", second["metadata"]["name"], "-n", namespace)
    assert status["artifacts"]["digest"]


@pytest.mark.causes("PodRefused")
def test_job_of_another_is_left_alone_though_it_has_the_name(
    kubectl: Kubectl, namespace: str, scale_operator: Callable[[int], None]
) -> None:
    tuning = Tuning(kubectl, namespace, "rival")
    scale_operator(0)
    try:
        policy = {"preRunningDeadlineSeconds": 15}
        kubectl.apply(tiny_job(tuning.name, namespace, runPolicy=policy))
        name = f"{tuning.name}-{(tuning.object or {})['metadata']['uid'][:8]}"
        kubectl.apply(_foreign_job(name, namespace))
    finally:
        scale_operator(1)
    status = tuning.wait_for_phase("Failed")
    assert status["failure"]["code"] == "PodRefused"
    assert name in status["failure"]["message"]
    assert kubectl.get("job", name, namespace) is not None
    kubectl("delete", "job", name, "-n", namespace)


def _foreign_job(name: str, namespace: str) -> Json:
    """A suspended Job that nobody controls."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "none", "image": "none"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def test_namespace_with_a_training_job_can_be_deleted(
    kubectl: Kubectl, namespace_with_credentials: Callable[[str], str]
) -> None:
    doomed = Tuning(kubectl, namespace_with_credentials("doomed"), "endless")
    kubectl.apply(endless_job(doomed.name, doomed.namespace))
    doomed.wait_for_training()
    kubectl("delete", "namespace", doomed.namespace, "--timeout=90s")
    assert kubectl.get("namespace", doomed.namespace) is None


def test_pod_of_a_trainer_keeps_to_the_restricted_profile(endless: Tuning, kubectl: Kubectl) -> None:
    """The namespace enforces it; here is what it doesn't ask for."""
    assert (
        restricted_namespace(endless.namespace)["metadata"]["labels"].items()
        <= (kubectl.get("namespace", endless.namespace) or {})["metadata"]["labels"].items()
    )
    (pod,) = endless.pods()
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert [variable for variable in container.get("env", []) if "value" in variable] == []
    found = kubectl("exec", pod["metadata"]["name"], "-n", endless.namespace, "--", "python3", "-c", _PEEK)
    assert found.split() == ["no-token", "read-only"]


_PEEK = """
import os
print("token" if os.path.exists("/var/run/secrets/kubernetes.io") else "no-token")
try:
    open("/opt/x", "w")
    print("writable")
except OSError as error:
    print("read-only" if error.errno == 30 else error)
"""
