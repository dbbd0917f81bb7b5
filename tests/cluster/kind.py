"""The cluster as containers: kind, where a Docker engine runs. The object store and Prometheus are pods in it."""

import http.client
import json
import os
import shutil
import subprocess
import time
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex

import kind_configuration
import progress
from services import SCRAPE_INTERVAL
from state import OPERATOR_IMAGE, TRAINER_IMAGE, Bed, BedError

NAME = "finetune"
_HERE = Path(__file__).parent
_S3_PORT, _PROMETHEUS_PORT = 30900, 30990
"""Ports of the node, which kind opens on this machine's 127.0.0.1 under the same numbers."""
_READY = "180s"
_ANSWER_SECONDS = 60
"""Patience for a port: its rules are written some seconds after the pod behind it is ready."""


def up(folder: Path) -> Bed:
    """Create the cluster and what stands in it.

    `$FINETUNE_KIND_NODE_IMAGE` names the image of the node; by default kind takes its own.

    Raises `BedError` when kind is missing or fails, and when what stands in the cluster does not answer.
    """
    if shutil.which("kind") is None:
        raise BedError("Docker runs but kind is missing: install it from https://kind.sigs.k8s.io, then try again")
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = folder / "kubeconfig"
    audit_log = kind_configuration.make_audit_log(folder)
    nodes = kind_configuration.configuration(
        (_S3_PORT, _PROMETHEUS_PORT), audit_log.parent, os.environ.get("FINETUNE_KIND_NODE_IMAGE", "")
    )
    with progress.step("kind cluster"):
        command = ["kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig), "--config", "-"]
        _run(command, json.dumps(nodes))
    bed = Bed(
        kind="kind", kubeconfig=str(kubeconfig),
        s3_endpoint="http://s3.finetune-bed.svc.cluster.local:7070", s3_local_endpoint=f"http://127.0.0.1:{_S3_PORT}",
        s3_access_key=token_hex(10), s3_secret_key=token_hex(20),
        prometheus_url=f"http://127.0.0.1:{_PROMETHEUS_PORT}", audit_log=str(audit_log),
        operator_image=OPERATOR_IMAGE, trainer_image=TRAINER_IMAGE, storage_class="standard",
    )  # fmt: skip
    with progress.step("object store and Prometheus"):
        _install(bed)
        wait_for_answer(_S3_PORT, "/", "the object store")
        wait_for_answer(_PROMETHEUS_PORT, "/-/ready", "Prometheus", HTTPStatus.OK)
    return bed


def wait_for_answer(port: int, path: str, what: str, wanted: int = 0) -> None:
    """Return when this machine's port answers over HTTP: with the status `wanted`, or with any.

    A connection alone says nothing: Docker takes it before there is anything behind the port.

    Raises `BedError` when it does not.
    """
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            status = _status_of(port, path)
        except (OSError, http.client.HTTPException) as error:
            found = str(error) or type(error).__name__
        else:
            if wanted in {0, status}:
                return
            found = f"status {status}"
        if time.monotonic() > deadline:
            raise BedError(
                f"{what} does not answer on 127.0.0.1:{port} ({found}): see `docker ps` for the node's ports"
            )
        time.sleep(0.1)


def _status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def down() -> None:
    """Delete the cluster."""
    _run(["kind", "delete", "cluster", "--name", NAME])


def _install(bed: Bed) -> None:
    settings = [
        _object("Secret", "s3", {"stringData": {
            "ROOT_ACCESS_KEY_ID": bed.s3_access_key, "ROOT_SECRET_ACCESS_KEY": bed.s3_secret_key,
        }}),
        _object("ConfigMap", "prometheus", {"data": {"prometheus.yml": json.dumps(_scraping())}}),
    ]  # fmt: skip
    for objects in ((_HERE / "kind.yaml").read_text(), json.dumps(_list(settings))):
        _apply(bed, objects)
    waited = bed.kubectl("-n=finetune-bed", "rollout", "status", "deployment", f"--timeout={_READY}")
    if waited.returncode != 0:
        raise BedError(f"the object store or Prometheus did not start: {waited.stdout}{waited.stderr}")


def _scraping() -> dict[str, object]:
    """Prometheus' configuration: targets and labels as in targets.py, asked of Kubernetes by Prometheus itself."""
    pod = "__meta_kubernetes_pod_"
    ours = {
        "action": "keep",
        "source_labels": [f"{pod}label_app_kubernetes_io_{label}" for label in ("name", "managed_by")],
        "regex": ".*finetune-(operator|trainer).*",
    }
    metrics = {"action": "keep", "source_labels": [f"{pod}container_port_name"], "regex": "metrics"}
    running = {"action": "keep", "source_labels": [f"{pod}phase"], "regex": "Running"}
    names = {"namespace": "__meta_kubernetes_namespace", "pod": f"{pod}name", "container": f"{pod}container_name"}
    labels = [{"source_labels": [source], "target_label": name} for name, source in names.items()]
    job = {
        "job_name": "finetune",
        "honor_labels": True,
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [ours, metrics, running, *labels],
    }
    return {"global": {"scrape_interval": SCRAPE_INTERVAL}, "scrape_configs": [job]}


def _apply(bed: Bed, objects: str) -> None:
    applied = bed.kubectl("apply", "-f", "-", stdin=objects)
    if applied.returncode != 0:
        raise BedError(f"kubectl apply failed: {applied.stderr}")


def _list(items: list[dict[str, object]]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _object(kind: str, name: str, content: dict[str, object]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "finetune-bed"}, **content}


def _run(command: list[str], stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
