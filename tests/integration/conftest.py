"""Real servers for the tests, started once a session."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from binaries import WITHOUT_NODE, BinaryMissingError, find, get_all
from control_plane import ControlPlane
from pod_process import ROWS, Pod
from s3_server import S3Server, S3ServerMissingError, running
from s3_server import find as find_s3_server

from finetune_api import pod

CRD = Path(__file__).parents[2] / "crds" / "finetunejobs.yaml"
_API_SERVER = ("etcd", "kube-apiserver", "kubectl")
PROGRAMS = {
    "control_plane": _API_SERVER,
    "controllers": (*_API_SERVER, "kube-controller-manager"),
    "whole_control_plane": (*_API_SERVER, "kube-controller-manager", "kube-scheduler"),
    "helm": ("helm",),
    "s3": ("versitygw",),
}
"""Programs that a fixture, here or below, starts or runs."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get what the chosen tests need before the first of them starts: building takes longer than a test may.

    With several workers each of them comes here with the same tests: one gets the programs, the others wait.
    """
    if not session.config.option.collectonly:
        fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
        needed = {program for name in fixtures for program in PROGRAMS.get(name, ())}
        get_all(program for program in WITHOUT_NODE if program in needed)


def missing_programs() -> str:
    """Return why the programs of the control plane can't be had, or nothing."""
    try:
        for name in _API_SERVER:
            find(name)
    except BinaryMissingError as missing:
        return f"no control plane: {missing}"
    return ""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver. Where they can't be had: a skip, or with FINETUNE_REQUIRE_CONTROL_PLANE=1 a failure."""
    missing = missing_programs()
    if missing and os.environ.get("FINETUNE_REQUIRE_CONTROL_PLANE", "0") not in ("", "0"):
        pytest.fail(f"{missing} (and FINETUNE_REQUIRE_CONTROL_PLANE is set)", pytrace=False)
    if missing:
        pytest.skip(missing)
    with ControlPlane(tmp_path_factory.mktemp("control_plane")) as running:
        yield running


@pytest.fixture(scope="session")
def api_server(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with the CRD in it, as `kubectl apply -f crds/` puts it there."""
    applied = control_plane.kubectl("apply", "-f", str(CRD))
    assert applied.returncode == 0, applied.stderr
    control_plane.wait_for("/apis/finetune.dev/v1alpha1/namespaces/default/finetunejobs")
    return control_plane


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server. Skips where it can't be had, and fails instead with FINETUNE_REQUIRE_S3=1."""
    try:
        find_s3_server()
    except S3ServerMissingError as missing:
        if os.environ.get("FINETUNE_REQUIRE_S3", "0") not in ("", "0"):
            pytest.fail(f"no S3 server, and FINETUNE_REQUIRE_S3 is set: {missing}", pytrace=False)
        pytest.skip(f"no S3 server: {missing}")
    with running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def pod_files(tmp_path: Path, tiny_model: Callable[..., Path]) -> Iterator[Pod]:
    """A pod with a model in a claim, rows in a ConfigMap and a claim for results."""
    pod_files = Pod(
        tmp_path / "root",
        {
            "model": {"uri": "pvc://models/tiny"},
            "data": {"train": [{"uri": "configmap://tickets/train.csv"}], "clean": {"dropDuplicates": False}},
            "method": {"type": "Full"},
            "training": {"epochs": 2, "learningRate": 0.003, "batchSize": 16},
            "output": {"uri": "pvc://results/team-a"},
        },
    )
    rows = pod_files.at(pod.CONFIG_MAPS) / "tickets" / "train.csv"
    folders = (pod_files.at(pod.CLAIMS) / "models", pod_files.at(pod.CLAIMS) / "results", rows.parent)
    for folder in (*folders, *(pod_files.at(path) for path in (pod.RUN_FILE.parent, pod.WORK))):
        folder.mkdir(parents=True)
    (pod_files.root / "dev").mkdir()
    rows.write_text(ROWS)
    shutil.copytree(tiny_model("bert"), folders[0] / "tiny")
    yield pod_files
    for process in pod_files.started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
