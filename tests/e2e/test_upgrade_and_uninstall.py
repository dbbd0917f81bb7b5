"""The life of a release: upgrades bring the CRD, uninstalling keeps CRD and jobs, reinstalling takes them up again."""

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from audit_log import writes
from helm_release import CHART, Release
from kubectl_commands import Kubectl, wait_until
from tuning_jobs import Tuning, tiny_job

CRD = "finetunejobs.finetune.dev"
SETTLED_SECONDS = 8
"""Time in which an operator that has something to write would have done so."""


pytestmark = [pytest.mark.usefixtures("release", "tiny_models"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def finished(kubectl: Kubectl, release: Release, namespace_with_credentials: Callable[[str], str]) -> Iterator[Tuning]:
    """A job that has succeeded."""
    tuning = Tuning(kubectl, namespace_with_credentials("kept"), "kept")
    kubectl.apply(tiny_job(tuning.name, tuning.namespace))
    tuning.wait_for_phase("Succeeded")
    yield tuning
    if not release.is_installed():
        release.install()


def newer_chart(folder: Path) -> Path:
    """A copy of the chart whose CRD has one more column."""
    chart = folder / "newer"
    shutil.copytree(CHART, chart)
    crd = chart / "files" / "finetunejobs.yaml"
    column = "additionalPrinterColumns:\n    - {name: Task, type: string, jsonPath: .spec.task}\n"
    old = crd.read_text()
    assert "additionalPrinterColumns:\n" in old
    crd.write_text(old.replace("additionalPrinterColumns:\n", column))
    return chart


def test_upgrade_changes_crd_and_settings_and_touches_no_finished_job(
    release: Release, kubectl: Kubectl, finished: Tuning, audit_log: Path, tmp_path: Path
) -> None:
    before, since = finished.object, datetime.now(UTC)
    pods = names_of(kubectl, release)
    release.upgrade(newer_chart(tmp_path), "settings.workers=4")
    shown = kubectl("get", "ftj", finished.name, "-n", finished.namespace).splitlines()
    assert shown[0].split()[1] == "TASK"
    assert shown[1].split()[1] == "SequenceClassification"
    assert not pods & names_of(kubectl, release), "new settings start a new operator"
    time.sleep(SETTLED_SECONDS)
    assert finished.object == before
    assert writes(audit_log, release.user, finished.namespace, since) == []
    release.upgrade()
    assert "TASK" not in kubectl("get", "ftj", finished.name, "-n", finished.namespace)


def test_uninstalling_leaves_only_the_crd_and_reinstalling_takes_it_up(
    release: Release, kubectl: Kubectl, finished: Tuning, audit_log: Path
) -> None:
    before = finished.object
    release.uninstall()
    wait_until("the operator's pod is gone", lambda: not names_of(kubectl, release), 60)
    assert of_release(kubectl, release) == [f"CustomResourceDefinition {CRD}"]
    assert finished.object == before

    waiting = Tuning(kubectl, finished.namespace, "waiting")
    kubectl.apply(tiny_job(waiting.name, waiting.namespace))
    since = datetime.now(UTC)
    release.install()
    assert waiting.wait_for_phase("Succeeded")["artifacts"]["digest"]
    assert finished.object == before
    assert [line for line in writes(audit_log, release.user, finished.namespace, since) if " kept" in line] == []


def names_of(kubectl: Kubectl, release: Release) -> set[str]:
    """Names of the operator's pods."""
    selector = f"app.kubernetes.io/name=finetune-operator,app.kubernetes.io/instance={release.name}"
    return {pod["metadata"]["name"] for pod in kubectl.list("pods", release.namespace, selector)}


def of_release(kubectl: Kubectl, release: Release) -> list[str]:
    """Every object of any kind and namespace that carries the release's label, and every one that helm stored."""
    kinds = ",".join(kubectl("api-resources", "--verbs=list", "-o", "name").split())
    found = [
        *kubectl.list(kinds, selector=f"app.kubernetes.io/instance={release.name}"),
        *kubectl.list("secrets", selector=f"owner=helm,name={release.name}"),
    ]
    return sorted({_told(item) for item in found})


def _told(item: dict[str, Any]) -> str:
    where = item["metadata"].get("namespace")
    return (
        f"{item['kind']} {where}/{item['metadata']['name']}" if where else f"{item['kind']} {item['metadata']['name']}"
    )
