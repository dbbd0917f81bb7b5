"""Helm upgrade from an earlier version, its own chart and images, to the present one, with jobs in every phase.

What the earlier operator stored and the earlier trainers wrote (objects, statuses, checkpoints, results) is taken on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from audit_log import writes
from earlier_version import EarlierVersion, unpack
from helm_release import Release
from kubectl_commands import CommandFailedError, Json, Kubectl, wait_until
from release_values import write_values
from state import Bed, given
from tuning_jobs import Tuning, endless_job, saving_job, tiny_job

from finetune_api.renamed import first_names
from finetune_api.spec import Spec

pytestmark = [pytest.mark.usefixtures("tiny_models"), pytest.mark.timeout(1200)]
CRD = "finetunejobs.finetune.dev"
ENDED = ("good", "bad", "gated")


@pytest.fixture(scope="module")
def earlier(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> EarlierVersion:
    if given():
        pytest.skip("the images of an earlier version are built for the cluster of `make cluster-up` only")
    version = unpack("2026-11-30", tmp_path_factory.mktemp("earlier"))
    version.bring_images(bed)
    return version


@dataclass(frozen=True)
class Upgraded:
    """The jobs by name, what they were before the upgrade, and when that began."""

    jobs: dict[str, Tuning]
    before: dict[str, Json]
    pods: set[str]
    since: datetime

    def status(self, name: str) -> Json:
        return self.jobs[name].status


def manifests(namespace: str) -> list[Json]:
    """Jobs in every phase, with fields that have other names now."""
    gated = {"metric": "accuracy", "baseline": False, "gates": [{"metric": "accuracy", "min": 1.0}]}
    slow = saving_job("paused", namespace, every=20, steps=400)
    slow["spec"]["training"]["perDeviceBatchSize"] = 8
    return [
        tiny_job("good", namespace, training={"perDeviceBatchSize": 8}),
        tiny_job("bad", namespace, data={"columns": {"text": "none", "label": "label"}}),
        tiny_job("gated", namespace, evaluation=gated),
        endless_job("training", namespace),
        slow,
        tiny_job("suspended", namespace, runPolicy={"suspend": True}),
        tiny_job("waiting", namespace, compute={"profile": "nowhere"}),
        tiny_job("queued", namespace, compute={"queue": "team-a"}),
        tiny_job("child", namespace, model={"uri": "finetunejob://suspended", "secretRef": None}),
    ]


@pytest.fixture(scope="module")
def upgraded(
    bed: Bed, kubectl: Kubectl, release: Release, earlier: EarlierVersion, tmp_path_factory: pytest.TempPathFactory,
    namespace_with_credentials: object,
) -> Iterator[Upgraded]:  # fmt: skip
    """The present version, upgraded to from the earlier one under all these jobs."""
    namespace = namespace_with_credentials("upgraded")  # type: ignore[operator]
    images = replace(bed, operator_image=earlier.image("operator"), trainer_image=earlier.image("trainer"))
    values = write_values(images, tmp_path_factory.mktemp("values") / "values.yaml")
    kubectl("delete", "finetunejobs", "--all", "--all-namespaces", "--timeout=120s")
    release.uninstall()
    # The present CRD has fields that the earlier one lacks; a user who upgrades has never seen it.
    kubectl("delete", "crd", CRD, "--timeout=120s")
    before = replace(release, values=values, chart=earlier.chart)
    before.install()
    try:
        made = [{**job, "spec": first_names(Spec, job["spec"])} for job in manifests(namespace)]
        kubectl.apply(*made)
        jobs = {job["metadata"]["name"]: Tuning(kubectl, namespace, job["metadata"]["name"]) for job in made}
        settle(jobs)
        held = {name: job.status for name, job in jobs.items()}
        pods = {pod["metadata"]["uid"] for pod in jobs["training"].pods()}
        since = datetime.now(UTC)
        release.upgrade()
        yield Upgraded(jobs, held, pods, since)
    finally:
        if release.is_installed():
            release.upgrade()


def settle(jobs: dict[str, Tuning]) -> None:
    """Wait until each job is where it shall be when the upgrade comes."""
    phases = {
        "good": "Succeeded", "bad": "Failed", "gated": "GateFailed", "waiting": "Starting", "queued": "Queued",
        "suspended": "Suspended",
    }  # fmt: skip
    for name, phase in phases.items():
        jobs[name].wait_for_phase(phase, seconds=240)
    jobs["training"].wait_for_training()
    jobs["paused"].wait_for_checkpoint()
    jobs["paused"].patch_run_policy(suspend=True)
    jobs["paused"].wait_for_phase("Suspended", seconds=60)


def test_what_runs_goes_on_in_the_same_pod(upgraded: Upgraded) -> None:
    training = upgraded.jobs["training"]
    step = training.status["progress"]["step"]
    wait_until("its progress is followed", lambda: training.status["progress"]["step"] > step, 60, tell=training.told)
    assert training.phase == "Training"
    assert {pod["metadata"]["uid"] for pod in training.pods()} == upgraded.pods


def test_what_has_ended_and_what_waits_is_as_it_was(upgraded: Upgraded) -> None:
    same = [name for name in upgraded.jobs if name not in ("training", "paused")]
    assert {name: upgraded.status(name)["phase"] for name in same} == {
        name: upgraded.before[name]["phase"] for name in same
    }
    for name in ENDED:
        assert upgraded.status(name)["artifacts"] == upgraded.before[name]["artifacts"]
        assert upgraded.status(name).get("failure") == upgraded.before[name].get("failure")
    assert upgraded.status("bad")["failure"]["code"] == "ColumnMissing"


def test_its_manifest_may_be_applied_again(upgraded: Upgraded, kubectl: Kubectl) -> None:
    """As a GitOps controller does it, with the names that it was written in."""
    good = upgraded.jobs["good"]
    [made] = [job for job in manifests(good.namespace) if job["metadata"]["name"] == "good"]
    assert "unchanged" in kubectl.apply({**made, "spec": first_names(Spec, made["spec"])})
    new = {**made, "metadata": {**made["metadata"], "name": "new"}, "spec": first_names(Spec, made["spec"])}
    with pytest.raises(CommandFailedError, match="deviceBatchSize is called perDeviceBatchSize now"):
        kubectl.apply(new)


def test_what_has_ended_is_not_written_again(upgraded: Upgraded, release: Release, audit_log: Path) -> None:
    namespace = upgraded.jobs["good"].namespace
    written = writes(audit_log, release.user, namespace, upgraded.since)
    assert [line for line in written if any(f"finetunejobs/status {name}:" in line for name in ENDED)] == []


def test_a_checkpoint_of_the_earlier_trainer_is_resumed_from(upgraded: Upgraded) -> None:
    paused = upgraded.jobs["paused"]
    saved = max(info["step"] for info in paused.status["checkpoints"])
    paused.patch_run_policy(suspend=False)
    status = paused.wait_for_phase("Succeeded", seconds=240)
    assert status["attempts"][-1]["resumedFrom"] >= saved > 0
    assert status["progress"]["step"] == 400


def test_what_was_suspended_runs_and_the_job_that_waits_for_it(upgraded: Upgraded) -> None:
    upgraded.jobs["suspended"].patch_run_policy(suspend=False)
    first = upgraded.jobs["suspended"].wait_for_phase("Succeeded", seconds=240)
    child = upgraded.jobs["child"].wait_for_phase("Succeeded", seconds=240)
    assert child["parents"][0]["digest"] == first["artifacts"]["digest"]


def test_a_result_of_the_earlier_trainer_is_a_base(upgraded: Upgraded, kubectl: Kubectl) -> None:
    good = upgraded.jobs["good"]
    onward = Tuning(kubectl, good.namespace, "onward")
    kubectl.apply(tiny_job("onward", good.namespace, model={"uri": "finetunejob://good", "secretRef": None}))
    assert onward.wait_for_phase("Succeeded", seconds=240)["parents"][0]["digest"] == good.status["artifacts"]["digest"]
