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
import services
import targets
from processes import Processes
from state import OPERATOR_IMAGE, TRAINER_IMAGE, Bed, BedError

NAME = "finetune"
_HERE = Path(__file__).parent
_S3_PORT, _PROMETHEUS_PORT = 30900, 30990
"""Ports of the node, which kind opens on this machine's 127.0.0.1 under the same numbers."""
_TARGETS = "targets.json"
_READY = "180s"
_ANSWER_SECONDS = 60
"""Patience for a port: its rules are written some seconds after the pod behind it is ready."""


def up(folder: Path) -> Bed:
    """Create the cluster and what stands in it.

    `$FINETUNE_KIND_NODE_IMAGE` names the image of the node; by default kind takes its own.

    Raises `BedError` when kind is missing or fails, and when what stands in the cluster does not answer; the cluster is
    removed then.
    """
    if shutil.which("kind") is None:
        raise BedError("Docker runs but kind is missing: install it from https://kind.sigs.k8s.io, then try again")
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = folder / "kubeconfig"
    audit_log = kind_configuration.make_audit_log(folder)
    found = folder / "targets" / _TARGETS
    found.parent.mkdir(exist_ok=True)
    nodes = kind_configuration.configuration(
        (_S3_PORT, _PROMETHEUS_PORT), audit_log.parent, found.parent, os.environ.get("FINETUNE_KIND_NODE_IMAGE", "")
    )
    with progress.step("kind cluster"):
        command = ["kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig), "--config", "-"]
        _run(command, json.dumps(nodes))
    try:
        return _equip(folder, found, audit_log)
    except BaseException:
        down(folder)
        raise


def _equip(folder: Path, found: Path, audit_log: Path) -> Bed:
    """Start the object store and Prometheus, which reads its targets from `found`."""
    bed = Bed(
        kind="kind", kubeconfig=str(folder / "kubeconfig"),
        s3_endpoint="http://s3.finetune-bed.svc.cluster.local:7070", s3_local_endpoint=f"http://127.0.0.1:{_S3_PORT}",
        s3_access_key=token_hex(10), s3_secret_key=token_hex(20),
        prometheus_url=f"http://127.0.0.1:{_PROMETHEUS_PORT}", audit_log=str(audit_log),
        operator_image=OPERATOR_IMAGE, trainer_image=TRAINER_IMAGE, storage_class="standard",
    )  # fmt: skip
    with progress.step("object store and Prometheus"):
        services.follow_targets(_processes(folder), Path(bed.kubeconfig), found)
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


def down(folder: Path) -> None:
    """Delete the cluster, and end what runs beside it."""
    if folder.exists():
        _processes(folder).stop()
    _run(["kind", "delete", "cluster", "--name", NAME])


def _processes(folder: Path) -> Processes:
    return Processes(folder, outlive=True)


def _install(bed: Bed) -> None:
    scraping = targets.scraping(f"/targets/{_TARGETS}")
    settings = [
        _object("Secret", "s3", {"stringData": {
            "ROOT_ACCESS_KEY_ID": bed.s3_access_key, "ROOT_SECRET_ACCESS_KEY": bed.s3_secret_key,
        }}),
        _object("ConfigMap", "prometheus", {"data": {"prometheus.yml": json.dumps(scraping)}}),
    ]  # fmt: skip
    for objects in ((_HERE / "kind.yaml").read_text(), json.dumps(_list(settings))):
        _apply(bed, objects)
    waited = bed.kubectl("-n=finetune-bed", "rollout", "status", "deployment", f"--timeout={_READY}")
    if waited.returncode != 0:
        raise BedError(f"the object store or Prometheus did not start: {waited.stdout}{waited.stderr}")


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
