"""The operator as a process of its own, with a service account, and what it takes from the machine."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import minder
from control_plane import ControlPlane, free_port
from scale.trainers import STAYS

USER = "system:serviceaccount:finetune-system:finetune-operator"
"""Who the operator is in the audit log."""
BRIEF, STAYING = "brief", "staying"
"""Profiles whose pods end after a moment, or never."""
_START_SECONDS = 300


class OperatorProcess:
    """Starts and kills the operator."""

    def __init__(self, cluster: ControlPlane, workers: int) -> None:
        self._folder = cluster.folder
        self._health, self._metrics = free_port(), free_port()
        self._kubeconfig = _service_account(cluster)
        self._settings = self._folder / "settings.yaml"
        self._settings.write_text(json.dumps(self._make_settings(workers)))  # JSON is YAML
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self) -> float:
        """Start it; return how many seconds it took until it knew all objects.

        Raises `SystemExit` with the end of its log when it does not come up.
        """
        begun = time.monotonic()
        self._starts += 1
        minder.get_ready()
        log = self.log.open("wb")
        command = [sys.executable, "-m", "finetune_operator", f"--settings={self._settings}"]
        self._process = subprocess.Popen([*command, f"--kubeconfig={self._kubeconfig}"], stdout=log, stderr=log)
        log.close()
        minder.entrust(self._process.pid)
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() - begun > _START_SECONDS:
                raise SystemExit(f"the operator did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def wait_until_idle(self, reconciles: int) -> float:
        """Wait until it has looked at `reconciles` jobs and none is in line; return how many seconds that took."""
        begun = time.monotonic()
        while True:
            figures = self.figures()
            if _total(figures, "finetune_reconciles_total") >= reconciles and not figures.get(
                'workqueue_depth{name="finetunejobs"}'
            ):
                return time.monotonic() - begun
            time.sleep(0.1)

    def figures(self) -> dict[str, float]:
        """Return its own metrics, by series."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}

    def requests(self) -> float:
        """Return how many requests it has sent to the API server, by its own count."""
        return _total(self.figures(), "finetune_api_requests_total")

    def looks(self) -> float:
        """Return how often it has looked at a job."""
        return _total(self.figures(), "finetune_reconciles_total")

    def kill(self) -> None:
        """Kill it as the kernel would: without a word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def log(self) -> Path:
        """What it wrote since its last start."""
        return self._folder / f"operator-{self._starts}.log"

    @property
    def pid(self) -> int:
        """Its process id, for profilers."""
        return self._process.pid if self._process else 0

    def memory_mebibytes(self) -> tuple[float, float]:
        """Resident memory now, and at most since its start."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        sizes = {name: text for name, _, text in (line.partition(":") for line in lines)}
        return int(sizes["VmRSS"].split()[0]) / 1024, int(sizes["VmHWM"].split()[0]) / 1024

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/readyz", timeout=10):
                return True
        except OSError:  # not listening, or a 503
            return False

    def _make_settings(self, workers: int) -> dict[str, Any]:
        small = {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
        return {
            "trainer": {"name": "registry.example/finetune-trainer:scale"},
            "profiles": {BRIEF: small, STAYING: {**small, "labels": {STAYS: "true"}}},
            "metricsPort": self._metrics,
            "healthPort": self._health,
            "workers": workers,
        }


def _total(figures: dict[str, float], name: str) -> float:
    return sum(value for series, value in figures.items() if series.startswith(name))


def _service_account(cluster: ControlPlane) -> Path:
    """Make an account for the operator; return a kubeconfig with its token."""
    namespace, name = USER.split(":")[2:]
    _create(cluster, "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": namespace}})
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    _create(cluster, accounts, {"kind": "ServiceAccount", "metadata": {"name": name}})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    _create(cluster, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86_400}}
    token = _create(cluster, f"{accounts}/{name}/token", ask)["status"]["token"]
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = cluster.folder / "operator.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def _create(cluster: ControlPlane, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = cluster.request("POST", path, {"apiVersion": "v1", **body})
    if status != 201:
        raise SystemExit(f"{path}: {answer}")
    return answer
