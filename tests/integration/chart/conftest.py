"""The chart as Helm renders it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from binaries import BinaryMissingError, find
from control_plane import ControlPlane

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "finetune-operator"
Manifest = dict[str, Any]
Values = dict[str, Any]


class Helm:
    """Helm with state of its own, so that nothing of the user's is read."""

    def __init__(self, program: Path, home: Path) -> None:
        self.program = program
        self.home = home

    def __call__(self, *arguments: str | Path, values: Values | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "HELM_CACHE_HOME": str(self.home / "cache")}
        given = [] if values is None else ["--values", "-"]
        return subprocess.run(
            [self.program, *arguments, *given],
            input=yaml.safe_dump(values) if values is not None else None,
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip

    def template(self, values: Values, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Render a release called `finetune` in the namespace `finetune`."""
        command = ("template", "finetune", CHART, "--namespace", "finetune")
        return self(*command, *arguments, values=values)

    def render(self, values: Values, *arguments: str) -> list[Manifest]:
        """Render, and return the objects."""
        done = self.template(values, *arguments)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm. Where it can't be had: a skip, or with FINETUNE_REQUIRE_CONTROL_PLANE=1 a failure."""
    try:
        return Helm(find("helm"), tmp_path_factory.mktemp("helm"))
    except BinaryMissingError as missing:
        if os.environ.get("FINETUNE_REQUIRE_CONTROL_PLANE", "0") not in ("", "0"):
            pytest.fail(f"{missing} (and FINETUNE_REQUIRE_CONTROL_PLANE is set)", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """An API server with the namespaces of the values below, and with the kinds of the Prometheus Operator."""
    for name in ("finetune", "team-a", "team-b"):
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        namespace = {"metadata": {"name": name, "labels": labels}}
        status, answer = control_plane.request("POST", "/api/v1/namespaces", namespace)
        assert status == 201, answer
    applied = control_plane.kubectl("apply", "-f", str(ROOT / "tests" / "data" / "monitoring_crds.yaml"))
    assert applied.returncode == 0, applied.stderr
    control_plane.wait_for("/apis/monitoring.coreos.com/v1/prometheusrules")
    yield control_plane
    control_plane.kubectl("delete", "-f", str(ROOT / "tests" / "data" / "monitoring_crds.yaml"))
