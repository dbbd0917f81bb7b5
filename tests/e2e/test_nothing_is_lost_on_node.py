"""Whatever ends a pod of a job that trains, the job continues from its newest checkpoint, and the curve with it."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from kubectl_commands import Json, Kubectl, wait_until
from object_store import verified_manifest
from obstore.store import S3Store
from prometheus_queries import Prometheus
from silent_node import SilentNode
from tuning_jobs import START_SECONDS, Tuning, saving_job, tiny_job

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]
EVERY = 50
"""Steps between two checkpoints."""


@pytest.fixture(scope="module")
def namespace(namespace_with_credentials: Callable[[str], str]) -> str:
    return namespace_with_credentials("nothing-is-lost")


@dataclass
class Interrupted:
    """A job that has been interrupted again and again, and came to its end."""

    tuning: Tuning
    kept: dict[str, int] = field(default_factory=dict)
    """Newest step in a checkpoint right before each interruption."""
    status: Json = field(default_factory=dict)
    """In the end."""
    started: float = 0
    ended: float = 0


@pytest.fixture(scope="module")
def interrupted(kubectl: Kubectl, namespace: str, scale_operator: Callable[[int], None]) -> Iterator[Interrupted]:
    """One job for all that can happen, each time without an operator for a while: starting one takes the time."""
    found = Interrupted(Tuning(kubectl, namespace, "interrupted"), started=time.time())
    tuning = found.tuning
    kubectl.apply(saving_job(tuning.name, namespace, EVERY))

    def delete_pod() -> None:
        scale_operator(0)
        kubectl("delete", "pod", tuning.pods()[-1]["metadata"]["name"], "-n", namespace)
        scale_operator(1)

    def drain_the_node() -> None:
        drain(kubectl, tuning.pods()[-1])

    def suspend_and_resume() -> None:
        scale_operator(0)
        tuning.patch_run_policy(suspend=True)
        scale_operator(1)
        tuning.wait_for_phase("Suspended", seconds=60)
        wait_until("its pod is gone", lambda: not tuning.pods(), 60)
        wait_until(
            "what it has kept is said", lambda: "in a checkpoint" in tuning.condition("Suspended")["message"], 10
        )
        tuning.patch_run_policy(suspend=False)

    for number, interrupt in enumerate((delete_pod, drain_the_node, suspend_and_resume), start=1):
        tuning.wait_for_training(number)
        found.kept[interrupt.__name__] = tuning.wait_for_checkpoint(attempt=number)
        interrupt()
    found.status = tuning.wait_for_phase("Succeeded", seconds=300)
    found.ended = time.time()
    yield found
    tuning.delete()


def drain(kubectl: Kubectl, pod: Json) -> None:
    """Drain the node of a pod, the operator's pod with it, until the pod has ended."""
    node = pod["spec"]["nodeName"]
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    kubectl("cordon", node)
    try:
        for victim in (*kubectl.list("pods", "", "app.kubernetes.io/name=finetune-operator"), pod):
            _evict(kubectl, victim)
        wait_until("the pod has ended", lambda: _has_ended(kubectl.get("pod", name, namespace)), 60)
    finally:
        kubectl("uncordon", node)


def _evict(kubectl: Kubectl, pod: Json) -> None:
    meta = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=body)


def _has_ended(pod: Json | None) -> bool:
    return pod is None or pod["status"]["phase"] in ("Succeeded", "Failed")


def test_job_succeeds_whatever_happens_to_its_pods(interrupted: Interrupted) -> None:
    status = interrupted.status
    reasons = [attempt["reason"] for attempt in status["attempts"]]
    assert reasons[2:] == ["Suspended", "Succeeded"]
    assert set(reasons[:2]) <= {"Stopped", "Preempted"}, "while there was no operator"
    assert status.get("failures", 0) == 0
    assert status["preemptions"] == 2


def test_attempts_lose_one_interval_at_most(interrupted: Interrupted) -> None:
    """Asked to stop, they lose nothing: the last step is saved before they end."""
    attempts = interrupted.status["attempts"]
    for before, after in pairwise(attempts):
        assert after["resumedFrom"] >= before["steps"] - EVERY, attempts
        if before.get("exitCode") == 85:
            assert after["resumedFrom"] == before["steps"], attempts
    assert [attempt.get("exitCode") for attempt in attempts[2:]] == [85, 0], "an operator saw these end"


def test_story_tells_where_each_attempt_went_on(interrupted: Interrupted) -> None:
    told = [event for event in interrupted.tuning.events() if event["reason"] == "ResumedFromCheckpoint"]
    steps = [attempt["resumedFrom"] for attempt in interrupted.status["attempts"][1:]]
    goes_on = [f"attempt {number} resumes from step {step}" for number, step in enumerate(steps, start=2)]
    assert {event["message"].partition(" in pod ")[0] for event in told} <= set(goes_on)
    assert told, "an operator saw at least one begin"


def test_curve_goes_on_where_it_was(interrupted: Interrupted, prometheus: Prometheus) -> None:
    """No sample falls back by more than what the attempt had to do again."""
    scope = f'{{namespace="{interrupted.tuning.namespace}",name="{interrupted.tuning.name}"}}'
    (series,) = prometheus.curve(f"max by (name) (finetune_step{scope})", interrupted.started, interrupted.ended)
    steps = [float(value) for _, value in series["values"]]
    resumed = [attempt["resumedFrom"] for attempt in interrupted.status["attempts"][1:]]
    assert max(steps) > max(resumed) > 0
    falls = [before - after for before, after in pairwise(steps) if after < before]
    assert max(falls, default=0) <= EVERY, steps
    losses = prometheus.curve(f"max by (name) (finetune_train_loss{scope})", interrupted.started, interrupted.ended)
    assert len(losses[0]["values"]) >= 3


def test_result_is_whole_after_all_of_it(interrupted: Interrupted, store: S3Store) -> None:
    model = interrupted.status["artifacts"]["model"]
    manifest = verified_manifest(store, model.removeprefix("s3://finetune/").removesuffix("/model"))
    assert manifest.outcome == "Succeeded"


@pytest.fixture
def asked(kubectl: Kubectl, namespace: str) -> Iterator[Tuning]:
    """A job that trains for days and saves no checkpoint by itself."""
    tuning = Tuning(kubectl, namespace, "asked")
    kubectl.apply(saving_job(tuning.name, namespace, 100_000_000, steps=10_000_000))
    yield tuning
    tuning.delete()


def test_checkpoint_is_saved_on_request(kubectl: Kubectl, namespace: str, asked: Tuning) -> None:
    tuning = asked
    tuning.wait_for_training()
    assert tuning.status["checkpoints"] == []
    kubectl("annotate", "ftj", tuning.name, "-n", namespace, "finetune.dev/checkpoint=before-the-demo")
    wanted = "--for=jsonpath={.status.checkpointRequest}=before-the-demo"
    kubectl("wait", wanted, f"ftj/{tuning.name}", "-n", namespace, "--timeout=90s")
    (saved,) = tuning.status["checkpoints"]
    assert saved["step"] > 0
    assert saved["digest"].startswith("sha256:")
    (event,) = [event for event in tuning.events() if event["reason"] == "CheckpointSaved"]
    assert event["message"] == f"step {saved['step']} is in a checkpoint, as asked: before-the-demo"


def test_pod_on_a_node_that_is_silent_is_replaced_by_force_where_the_job_says_so(
    kubectl: Kubectl, namespace: str
) -> None:
    tuning = Tuning(kubectl, namespace, "silenced")
    policy = {"forceReplaceSeconds": 1, "stallSeconds": 0}
    kubectl.apply(tiny_job(tuning.name, namespace, compute={"profile": "nowhere"}, runPolicy=policy))
    (first,) = wait_until("it has a pod", tuning.pods, 30)
    name = first["metadata"]["name"]
    with SilentNode(kubectl, "silent") as node:
        node.run(first)
        wait_until("the pod runs, as far as anyone knows", lambda: tuning.condition("Running")["status"] == "True", 30)
        kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
        (second,) = wait_until(
            "another pod replaces it",
            lambda: [pod for pod in tuning.pods() if pod["metadata"]["name"] != name],
            START_SECONDS,
        )
        wait_until("the first is gone", lambda: kubectl.get("pod", name, namespace) is None, 30)
    assert second["metadata"]["name"] != name
    status = tuning.status
    assert [attempt["reason"] for attempt in status["attempts"]] == ["Preempted"]
    assert (status["preemptions"], status.get("failures", 0)) == (1, 0)
    tuning.delete()
