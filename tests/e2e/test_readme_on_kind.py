"""The commands of the README on a fresh kind cluster, whose node has no image of the trainer (`make kind-smoke`)."""

import json
import os
import subprocess
from collections.abc import Callable

import pytest
from kubectl_commands import Json, wait_until
from readme import README, cluster_commands
from state import Bed

ROOT = README.parent
JOB = "tickets-from-config-map"
CLAIM = "results"


@pytest.fixture(scope="module")
def shell(bed: Bed) -> Callable[[str], str]:
    """A function that runs a command as a user does: in a shell, in the root of the tree."""
    if bed.kind != "kind" or os.environ.get("FINETUNE_REQUIRE_KIND", "0") in ("", "0"):
        pytest.skip("needs a fresh kind cluster: `make kind-smoke`")

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env={**os.environ, "KUBECONFIG": bed.kubeconfig},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(scope="module")
def applied(shell: Callable[[str], str]) -> list[str]:
    """What each command of the README printed, but for the first, which made the cluster, and the last, which waits."""
    return [shell(command) for command in cluster_commands(README.read_text())[1:-1]]


def test_the_chart_is_installed_and_the_job_admitted(applied: list[str]) -> None:
    notes, created, objects = applied
    assert "STATUS: deployed" in notes
    assert created == "configmap/support-tickets created\n"
    assert f"persistentvolumeclaim/{CLAIM} created" in objects
    assert f"finetunejob.finetune.dev/{JOB} created" in objects


@pytest.mark.usefixtures("applied")
def test_a_volume_is_made_for_the_results(shell: Callable[[str], str]) -> None:
    asked = f"kubectl get persistentvolumeclaim {CLAIM} -o jsonpath='{{.status.phase}}'"
    wait_until("the claim is bound", lambda: shell(asked) == "Bound", 90, tell=lambda: shell("kubectl get events"))


@pytest.mark.usefixtures("applied")
def test_the_job_says_that_the_trainer_image_is_missing(bed: Bed, shell: Callable[[str], str]) -> None:
    def status() -> Json:
        return dict(json.loads(shell(f"kubectl get finetunejob {JOB} -o json")).get("status", {}))

    def waiting() -> str:
        return " ".join(condition.get("message", "") for condition in status().get("conditions", []))

    wait_until("the job names the image", lambda: bed.trainer_image in waiting(), 90, tell=status)
    assert status().get("phase") not in {"Failed", "Succeeded"}
    watched = cluster_commands(README.read_text())[-1]
    table = shell(watched.removesuffix(" --watch"))
    assert JOB in table


@pytest.mark.usefixtures("applied")
def test_uninstalling_keeps_the_results(shell: Callable[[str], str]) -> None:
    shell(f"kubectl delete finetunejob {JOB} --timeout=60s")
    shell("helm uninstall finetune --namespace finetune --wait")
    assert CLAIM in shell("kubectl get persistentvolumeclaims -o name")
