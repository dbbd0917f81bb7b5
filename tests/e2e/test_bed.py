"""The cluster itself: what a pod with few rights finds there, before anything of ours runs in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import pytest
from kubectl_commands import Json, Kubectl, restricted_namespace, wait_until
from prometheus_queries import Prometheus
from small_pods import output_of, python_pod
from state import Bed

NAMESPACE = "bed"
CLAIM = "scratch"
METRICS_PORT = 8080

LOOK_AROUND = f"""
import json, os, pathlib, socket, time
found = {{"user": os.getuid(), "api": socket.gethostbyname("kubernetes.default.svc.cluster.local")}}
socket.create_connection((found["api"], 443), timeout=5).close()
socket.create_connection(("S3_HOST", S3_PORT), timeout=5).close()
start = time.monotonic()
try:
    socket.gethostbyname("no-such-host.invalid")
except socket.gaierror:
    found["unknown_seconds"] = time.monotonic() - start
file = pathlib.Path("/mnt/{CLAIM}/kept")
found["kept"] = file.read_text() if file.exists() else ""
file.write_text("by an earlier pod")
print(json.dumps(found))
"""
SERVE_METRICS = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"bed_probe 42\\n")
HTTPServer(("", {METRICS_PORT}), Metrics).serve_forever()
"""


@pytest.fixture(scope="module")
def probes(kubectl: Kubectl, bed: Bed) -> Iterator[str]:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": bed.storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    kubectl.apply(restricted_namespace(NAMESPACE), claim)
    yield NAMESPACE
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def looking_around(bed: Bed, namespace: str, name: str) -> Json:
    store = urlsplit(bed.s3_endpoint)
    program = LOOK_AROUND.replace("S3_HOST", str(store.hostname)).replace("S3_PORT", str(store.port))
    return python_pod(name, namespace, bed.operator_image, program, CLAIM)


def test_a_pod_with_few_rights_finds_names_services_the_store_and_its_volume(
    bed: Bed, kubectl: Kubectl, probes: str
) -> None:
    first = json.loads(output_of(kubectl, looking_around(bed, probes, "first")))
    second = json.loads(output_of(kubectl, looking_around(bed, probes, "second")))
    assert (first["user"], first["kept"], second["kept"]) == (65532, "", "by an earlier pod")
    assert first["unknown_seconds"] < 5, "a name that does not exist must not cost a time-out"


def test_the_trainer_starts_as_the_image_says(bed: Bed, kubectl: Kubectl, probes: str) -> None:
    pod = python_pod("trainer", probes, bed.trainer_image, "", "")
    container = pod["spec"]["containers"][0]
    del container["command"]
    container["args"] = ["--help"]
    container["securityContext"]["readOnlyRootFilesystem"] = True
    assert "pod" in output_of(kubectl, pod)


def test_prometheus_finds_what_serves_metrics(bed: Bed, kubectl: Kubectl, probes: str) -> None:
    if not bed.prometheus_url:
        pytest.skip("this cluster's Prometheus is not known: set FINETUNE_PROMETHEUS_URL")
    pod = python_pod("served", probes, bed.operator_image, SERVE_METRICS)
    pod["metadata"]["labels"] = {"app.kubernetes.io/name": "finetune-trainer"}
    pod["spec"]["containers"][0]["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT}]
    kubectl.apply(pod)
    prometheus = Prometheus(bed.prometheus_url)
    query = f'bed_probe{{namespace="{probes}",pod="served"}}'
    series = wait_until("Prometheus has the pod's metric", lambda: prometheus.query(query), 90)
    assert [sample["value"][1] for sample in series] == ["42"]


def test_the_audit_log_tells_who_did_what(bed: Bed, kubectl: Kubectl, probes: str) -> None:
    if not bed.audit_log:
        pytest.skip("this cluster's audit log can't be read")
    name = f"seen-{token_hex(4)}"  # the log tells of earlier tests, too
    me = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    kubectl("create", "configmap", name, "-n", probes)

    def seen() -> list[Json]:
        with Path(bed.audit_log).open(encoding="utf-8") as log:
            lines = [json.loads(line) for line in log if f'"namespace":"{probes}","name":"{name}"' in line]
        return [line for line in lines if line["verb"] == "create"]

    [request] = wait_until("the request is in the audit log", seen, 10)
    assert (request["user"]["username"], request["responseStatus"]["code"]) == (me, 201)
