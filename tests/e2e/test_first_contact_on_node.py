"""What a cluster does to jobs that nothing is wrong with: it is full, suspends, limits, and is upgraded under them."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helm_release import CHART, Release
from kubectl_commands import Json, Kubectl, wait_until
from tuning_jobs import Tuning, endless_job, tiny_job

pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def namespace(namespace_with_credentials: Callable[[str], str]) -> str:
    return namespace_with_credentials("contact")


def says(tuning: Tuning, words: str) -> None:
    """Wait until the condition Progressing has these words."""
    wait_until(
        f"{tuning.name} says {words}", lambda: words in tuning.condition("Progressing").get("message", ""), 60,
        tell=tuning.told,
    )  # fmt: skip


def test_a_node_that_is_closed_is_waited_for(
    applied: Callable[[Json], Tuning], kubectl: Kubectl, namespace: str
) -> None:
    (node,) = [item["metadata"]["name"] for item in kubectl.list("nodes")]
    kubectl("cordon", node)
    try:
        tuning = applied(tiny_job("patient", namespace))
        says(tuning, "waits for a node")
        assert tuning.condition("Progressing")["reason"] == "PodUnschedulable"
    finally:
        kubectl("uncordon", node)
    assert tuning.wait_for_phase("Succeeded")["attempts"][0]["reason"] == "Succeeded"
    kubectl("wait", "--for=condition=Finished", f"finetunejob/{tuning.name}", "-n", namespace, "--timeout=10s")


def test_a_quota_is_told_and_waited_for(kubectl: Kubectl, namespace_with_credentials: Callable[[str], str]) -> None:
    namespace = namespace_with_credentials("limited")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {"hard": {"requests.memory": "1Mi"}},
    }
    kubectl.apply(quota)
    kubectl.apply(tiny_job("over", namespace))
    tuning = Tuning(kubectl, namespace, "over")
    says(tuning, "exceeded quota: team")
    kubectl("delete", "resourcequota", "team", "-n", namespace)
    tuning.wait_for_phase("Succeeded", seconds=240)


def test_a_queue_that_nobody_serves_is_told(applied: Callable[[Json], Tuning], namespace: str) -> None:
    tuning = applied(tiny_job("queued", namespace, compute={"queue": "team-a"}))
    tuning.wait_for_phase("Queued")
    says(tuning, "Kueue is not installed")
    assert tuning.condition("Progressing")["reason"] == "QueueMissing"


def test_a_suspension_longer_than_the_deadline_ends_nothing(applied: Callable[[Json], Tuning], namespace: str) -> None:
    tuning = applied(endless_job("rested", namespace, runPolicy={"activeDeadlineSeconds": 60}))
    tuning.wait_for_training()
    tuning.patch_run_policy(suspend=True)
    tuning.wait_for_phase("Suspended", seconds=40)
    time.sleep(61)
    tuning.patch_run_policy(suspend=False)
    assert tuning.wait_for_training(attempt=2)["attempts"][0]["reason"] == "Suspended"


# Upgrades.


def newer_chart(folder: Path) -> Path:
    """A copy of the chart whose CRD has one more field with a default, in a block that the jobs have."""
    chart = folder / "newer"
    shutil.copytree(CHART, chart)
    path = chart / "files" / "finetunejobs.yaml"
    crd = yaml.safe_load(path.read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["training"]["properties"]["sequenceParallel"] = {
        "type": "string",
        "default": "Auto",
        "maxLength": 16,
    }
    path.write_text("---\n" + yaml.safe_dump(crd, sort_keys=False))
    return chart


def test_a_newer_crd_gives_defaults_to_stored_jobs_and_ends_none(
    applied: Callable[[Json], Tuning], namespace: str, release: Release, tmp_path: Path
) -> None:
    jobs = {
        "Succeeded": applied(tiny_job("was-good", namespace)),
        "Training": applied(endless_job("goes-on", namespace)),
        "Suspended": applied(tiny_job("sleeps", namespace, runPolicy={"suspend": True})),
    }
    for phase, tuning in jobs.items():
        tuning.wait_for_phase(phase, seconds=150)
    jobs["Training"].wait_for_training()
    pods = {pod["metadata"]["uid"] for pod in jobs["Training"].pods()}
    ended = jobs["Succeeded"].status
    release.upgrade(newer_chart(tmp_path), "settings.workers=5")
    for tuning in jobs.values():
        shown = (tuning.object or {})["spec"]["training"]["sequenceParallel"]
        assert shown == "Auto", "the API server shows the newer CRD's default in every job"
    jobs["Training"].patch_run_policy(backoffLimit=7)
    wait_until("the wish is followed", lambda: jobs["Training"].jobs()[0]["spec"]["backoffLimit"] == 7, 60)
    assert {phase: tuning.phase for phase, tuning in jobs.items()} == {phase: phase for phase in jobs}
    assert jobs["Succeeded"].status == ended
    assert {pod["metadata"]["uid"] for pod in jobs["Training"].pods()} == pods
    jobs["Suspended"].patch_run_policy(suspend=False)
    assert jobs["Suspended"].wait_for_phase("Succeeded")["artifacts"]["digest"]
    release.upgrade()
    assert jobs["Training"].phase == "Training"
