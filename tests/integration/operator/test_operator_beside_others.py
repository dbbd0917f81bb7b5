"""What others do to Jobs and pods of trainers on a real API server: edit, release, hold, evict, replace, refuse."""

from pathlib import Path

import pytest
from operator_process import OperatorProcess
from played_node import PlayedNode, success
from started_job import StartedJob
from tuning import Json, Namespace

PATIENCE = 90.0


@pytest.fixture
def trained(namespace: Namespace, started: StartedJob) -> StartedJob:
    """A job whose pod is known to run."""
    namespace.until(lambda: namespace.status().get("startTime"), "start")
    return started


def meta(namespace: Namespace, kind: str, name: str) -> Json:
    """Metadata of an object; empty where it is gone."""
    return next((dict(one["metadata"]) for one in namespace.objects(kind) if one["metadata"]["name"] == name), {})


def ended(namespace: Namespace) -> list[str]:
    """How the attempts of the job ended, so far."""
    return [attempt["reason"] for attempt in namespace.status().get("attempts", []) if attempt.get("reason")]


def succeed(namespace: Namespace, node: PlayedNode, pod: str, uid: str) -> None:
    """End the pod with a result, and wait until the job has it."""
    node.end(pod, 0, success(uid))
    namespace.until_phase("Succeeded")


def test_a_pod_whose_owner_was_taken_is_adopted_again(
    namespace: Namespace, node: PlayedNode, trained: StartedJob
) -> None:
    namespace.change("pods", trained.pod, {"metadata": {"ownerReferences": None}})
    namespace.until(lambda: meta(namespace, "pods", trained.pod).get("ownerReferences"), "an owner")
    succeed(namespace, node, trained.pod, trained.uid)
    assert ended(namespace) == ["Succeeded"]
    assert len(namespace.objects("pods")) == 1


def test_a_pod_whose_labels_were_taken_is_replaced_without_a_failure(
    namespace: Namespace, node: PlayedNode, trained: StartedJob
) -> None:
    """The Job controller lets go of it. It is fenced off by the claim of the next one."""
    namespace.change("pods", trained.pod, {"metadata": {"labels": {"finetune.dev/job-uid": None}}})
    namespace.until(lambda: len(namespace.objects("pods")) == 2, "another pod")
    (second,) = {one["metadata"]["name"] for one in namespace.objects("pods")} - {trained.pod}
    node.start(second)
    succeed(namespace, node, second, trained.uid)
    assert ended(namespace) == ["Stopped", "Succeeded"]
    assert namespace.status().get("failures", 0) == 0


def test_a_job_that_is_held_by_its_parallelism_says_so_and_goes_on(
    namespace: Namespace, node: PlayedNode, trained: StartedJob
) -> None:
    job = namespace.job()["metadata"]["name"]
    node.take(trained.pod)
    namespace.change("jobs", job, {"spec": {"parallelism": 0}})
    namespace.until(lambda: "deletionTimestamp" in meta(namespace, "pods", trained.pod), "end of the pod")
    node.end(trained.pod, 85, "")
    node.let_go(trained.pod)
    namespace.until(lambda: "set its spec.parallelism to 0" in namespace.message(), "word of it", PATIENCE)
    assert namespace.status().get("failures", 0) == 0
    namespace.change("jobs", job, {"spec": {"parallelism": 1}})
    second = namespace.pod()
    node.start(second)
    succeed(namespace, node, second, trained.uid)


def test_a_pod_that_is_evicted_was_preempted(namespace: Namespace, node: PlayedNode, trained: StartedJob) -> None:
    node.take(trained.pod)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": trained.pod}}
    path = f"/api/v1/namespaces/{namespace.name}/pods/{trained.pod}/eviction"
    code, answer = namespace.cluster.request("POST", path, eviction)
    assert code == 201, answer
    trainer = {"name": "trainer", "image": "i", "imageID": "i", "restartCount": 0, "ready": False}
    stopped = {**trainer, "state": {"terminated": {"exitCode": 85}}}
    status = {"phase": "Failed", "containerStatuses": [stopped]}  # conditions stay, as a kubelet leaves them
    path = f"/api/v1/namespaces/{namespace.name}/pods/{trained.pod}/status"
    assert namespace.cluster.request("PATCH", path, {"status": status})[0] == 200
    node.let_go(trained.pod)
    namespace.until(lambda: ended(namespace) == ["Preempted"], "attempt")
    assert namespace.pod() != trained.pod


def test_a_job_that_is_replaced_by_one_of_its_name_leaves_nothing_behind(
    namespace: Namespace, node: PlayedNode, trained: StartedJob
) -> None:
    """As by `kubectl replace --force`: the old pod is still saving when the new job begins."""
    node.take(trained.pod)
    namespace.remove("finetunejobs", "movies", "Foreground")
    namespace.until(lambda: "deletionTimestamp" in meta(namespace, "pods", trained.pod), "end of the old pod")
    assert len(namespace.objects("pods")) == 1
    node.end(trained.pod, 85, "")
    node.let_go(trained.pod)
    namespace.until(lambda: not namespace.objects("finetunejobs"), "end of the old job")
    uid = namespace.apply()
    second = namespace.pod()
    assert uid[:8] in second
    node.start(second)
    succeed(namespace, node, second, uid)
    assert ended(namespace) == ["Succeeded"]


def test_a_pod_that_another_controller_keeps_stops_no_attempt(
    namespace: Namespace, node: PlayedNode, trained: StartedJob
) -> None:
    finalizers = ["batch.kubernetes.io/job-tracking", "example.com/keep"]
    namespace.change("pods", trained.pod, {"metadata": {"finalizers": finalizers}})
    node.end(trained.pod, 1, "")
    namespace.until(lambda: ended(namespace) == ["ContainerCrashed"], "attempt")
    try:
        second = namespace.until(namespace.pod, "another pod")
        node.start(second)
        succeed(namespace, node, second, trained.uid)
    finally:
        namespace.change("pods", trained.pod, {"metadata": {"finalizers": None}})


REFUSED = {
    "priority": ({"priorityClassName": "nobody"}, "no PriorityClass with name nobody was found"),
    "runtime": ({"runtimeClassName": "nobody"}, 'RuntimeClass "nobody" not found'),
    "large": ({"requests": {"cpu": "64"}, "limits": {"cpu": "64"}}, "maximum cpu usage per Container is 2"),
}


def test_what_only_pods_are_checked_for_is_said_by_the_words_of_the_api_server(
    namespace: Namespace, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    limits = {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}
    namespace.create_object("limitranges", {"metadata": {"name": "team"}, "spec": limits})
    profiles = {name: profile for name, (profile, _) in REFUSED.items()}
    with OperatorProcess(tmp_path / "operator", operator_kubeconfig, [namespace.name], **profiles):
        for name in REFUSED:
            namespace.apply(name, {"compute": {"profile": name}})
        for name, (_, words) in REFUSED.items():
            namespace.until(lambda: words in namespace.message(name=name), words)  # noqa: B023 -- used at once
            assert namespace.condition("Progressing", name)["reason"] == "PodNotStarted"
