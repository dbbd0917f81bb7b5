"""What a node would do, done by hand on a real API server: pods start, tell their progress, and end."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from control_plane import ControlPlane

from finetune_api.live import Live
from finetune_api.outcome import Artifacts, FailureInfo, Outcome, Progress
from finetune_api.pod import PORT, PROGRESS_PATH
from finetune_api.status import Phase
from finetune_api.termination import Termination

Json = dict[str, Any]
DIGEST = "sha256:" + "a" * 64


SUCCEEDED = {
    "phase": "Succeeded",
    "completionTime": "2026-11-21T12:00:00Z",
    "artifacts": {"model": "s3://models/m/model", "digest": DIGEST},
}
"""Status of a job that ended well, long ago."""


class PlayedNode:
    """Writes the status of pods as a kubelet does."""

    def __init__(self, cluster: ControlPlane, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def take(self, pod: str, name: str = "played-node") -> None:
        """Bind the pod to a node of that name, so that it is asked before the pod goes."""
        node = {"metadata": {"name": name}}
        code, answer = self._cluster.request("POST", "/api/v1/nodes", node)
        assert code in (201, 409), answer
        target = {"apiVersion": "v1", "kind": "Node", "name": name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/binding"
        code, answer = self._cluster.request("POST", path, binding)
        assert code == 201, answer

    def start(self, pod: str, ip: str = "127.0.0.2") -> None:
        """Let the trainer's container run; `ip` is where its `/progress` is looked for."""
        running = {"running": {"startedAt": _now()}}
        self._write(pod, {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], **_container(running, ready=True)})

    def end(self, pod: str, exit_code: int, message: str, reason: str = "Completed") -> None:
        """Let the container end with that code and termination message."""
        ended = {
            "exitCode": exit_code,
            "reason": reason,
            "message": message,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        phase = "Failed" if exit_code else "Succeeded"
        self._write(pod, {"phase": phase, **_container({"terminated": ended}, ready=False)})

    def end_beside_a_sidecar(self, pod: str, exit_code: int, message: str) -> None:
        """Let the trainer's container end while another one, the first in the list, runs on."""
        ended = {
            "exitCode": exit_code,
            "reason": "Error",
            "message": message,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        status = _container({"terminated": ended}, ready=False)
        proxy = {**status["containerStatuses"][0], "name": "istio-proxy", "state": {"running": {"startedAt": _now()}}}
        status["containerStatuses"].insert(0, proxy)
        self._write(pod, {"phase": "Running", **status})

    def let_go(self, pod: str) -> None:
        """Let a pod go that has ended and was to be deleted."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}?gracePeriodSeconds=0"
        code, answer = self._cluster.request("DELETE", path)
        assert code == 200, answer

    def _write(self, pod: str, status: Json) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}/status"
        code, answer = self._cluster.request("PATCH", path, {"status": status})
        assert code == 200, answer


def success(uid: str) -> str:
    """The termination message of a run that went well."""
    artifacts = Artifacts(model="s3://models/m/model", report="s3://models/m/report", digest=DIGEST)
    return Termination(uid=uid, attempt=1, outcome=Outcome.SUCCEEDED, steps=30, artifacts=artifacts).encode()


def failure(uid: str, info: FailureInfo) -> str:
    """The termination message of a run that failed."""
    return Termination(uid=uid, attempt=1, outcome=Outcome.FAILED, steps=3, failure=info).encode()


def training(uid: str, step: int) -> Live:
    """What a trainer tells in the middle of its training."""
    progress = Progress(step=step, total_steps=30, epoch=step / 10, percent=step / 30 * 100, loss=0.25)
    return Live(uid=uid, attempt=1, phase=Phase.TRAINING, progress=progress)


class PlayedTrainer:
    """A trainer's HTTP server: answers `GET /progress` with what it is told to."""

    def __init__(self) -> None:
        self.answer = b"{}"
        self.asked = 0

    @contextmanager
    def serving(self, ip: str) -> Iterator["PlayedTrainer"]:
        """Serve on the trainer's port of one of this machine's own addresses (127.0.0.0/8)."""
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                played.asked += 1
                assert self.path == PROGRESS_PATH
                self.send_response(200)
                self.end_headers()
                self.wfile.write(played.answer)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer((ip, PORT), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def tell(self, live: Live) -> None:
        """Answer with this from now on."""
        self.answer = json.dumps(live.model_dump(mode="json", by_alias=True)).encode()


def _container(state: Json, *, ready: bool) -> Json:
    trainer = {"name": "trainer", "image": "i", "imageID": "i", "restartCount": 0, "ready": ready, "state": state}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}
    return {"containerStatuses": [trainer], "conditions": [scheduled]}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
