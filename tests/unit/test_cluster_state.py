import json
from pathlib import Path
from typing import Any

import pytest
from state import Bed, BedError, current, given, state_folder
from targets import targets

IMAGES = {"FINETUNE_OPERATOR_IMAGE": "registry/operator:1", "FINETUNE_TRAINER_IMAGE": "registry/trainer:1"}
STORE = {"AWS_ENDPOINT_URL": "http://s3:7070", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "FINETUNE_PROMETHEUS_URL", "FINETUNE_AUDIT_LOG", *IMAGES, *STORE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_without_a_word_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current() is None
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    assert current() is None, "a kubeconfig alone is everyday life, and not leave to test on that cluster"


def test_a_cluster_of_your_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"KUBECONFIG": "/mine", **IMAGES, **STORE}.items():
        monkeypatch.setenv(name, value)
    bed = current()
    assert bed is not None
    assert (bed.kind, bed.kubeconfig, bed.operator_image) == ("given", "/mine", "registry/operator:1")
    assert bed.credentials == {**STORE, "AWS_REGION": "us-east-1"} == bed.pod_credentials


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINETUNE_OPERATOR_IMAGE", "registry/operator:1")
    with pytest.raises(BedError, match=r"KUBECONFIG, FINETUNE_TRAINER_IMAGE, AWS_ENDPOINT_URL, .* must be set too"):
        given()


def test_the_state_is_for_its_owner_only() -> None:
    folder = state_folder()
    folder.mkdir(parents=True)
    bed = Bed("node", "/k", "http://a", "http://b", "key", "secret", "http://p", "/audit", "o", "t", "standard")
    bed.save(folder)
    assert Bed.load(folder) == bed == current()
    assert [(path.name, path.stat().st_mode & 0o777) for path in folder.iterdir()] == [("bed.json", 0o600)]


def pod(labels: dict[str, str], phase: str = "Running", port: str = "metrics") -> dict[str, Any]:
    container = {"name": "trainer", "ports": [{"name": port, "containerPort": 8080}]}
    return {
        "metadata": {"namespace": "team", "name": "job-0", "labels": labels},
        "status": {"phase": phase, "podIP": "10.0.0.7"},
        "spec": {"containers": [container]},
    }


OPERATOR = {"app.kubernetes.io/name": "finetune-operator", "app.kubernetes.io/managed-by": "Helm"}
CHILD = {"app.kubernetes.io/managed-by": "finetune-operator"}


@pytest.mark.parametrize("labels", [OPERATOR, CHILD])
def test_running_pods_of_ours_are_scraped(labels: dict[str, str]) -> None:
    [group] = targets([pod(labels)])
    names = {"namespace": "team", "pod": "job-0", "container": "trainer"}
    assert json.loads(json.dumps(group)) == {"targets": ["10.0.0.7:8080"], "labels": names}


@pytest.mark.parametrize(
    "other", [pod({}), pod({"app.kubernetes.io/name": "nginx"}), pod(CHILD, "Succeeded"), pod(CHILD, port="http")]
)
def test_other_pods_are_not(other: dict[str, Any]) -> None:
    assert list(targets([other])) == []
