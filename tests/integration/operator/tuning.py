"""One namespace with FineTuneJobs: what users do there, and what they see."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from control_plane import ControlPlane
from writes import is_write

Json = dict[str, Any]
PATIENCE = 60.0
"""Seconds; a busy machine takes many times what an idle one does."""
SPEC: Json = {
    "task": "SequenceClassification",
    "model": {"uri": "s3://models/base"},
    "data": {"train": [{"uri": "s3://data/rows.csv"}]},
    "output": {"uri": "s3://models/tuned"},
}


def merge_of(*names: str) -> Json:
    """Blocks of a spec that merges the results of other jobs."""
    sources = [{"uri": f"finetunejob://{name}"} for name in names]
    return {"method": {"type": "Merge", "merge": {"sources": sources}}}


class Namespace:
    """A namespace of its own for each test, so that tests don't see each other."""

    def __init__(self, cluster: ControlPlane, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def create(self) -> None:
        """Create it, and wait until pods may be created in it."""
        assert self.cluster.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})[0] == 201
        self.cluster.wait_for(f"/api/v1/namespaces/{self.name}/serviceaccounts/default")

    def delete(self) -> None:
        """Delete it with all that is in it; does not wait."""
        self.cluster.request("DELETE", f"/api/v1/namespaces/{self.name}")

    def apply(self, name: str = "movies", blocks: Json | None = None, **policy: Any) -> str:
        """Create a FineTuneJob with this `runPolicy` and perhaps other blocks of its spec; return its UID."""
        body = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {"name": name},
            "spec": {**SPEC, **(blocks or {}), "runPolicy": policy},
        }
        status, answer = self.cluster.request("POST", self._path("finetunejobs"), body)
        assert status == 201, answer
        return str(answer["metadata"]["uid"])

    def create_object(self, kind: str, body: Json) -> None:
        """Create an object of any kind."""
        status, answer = self.cluster.request("POST", self._path(kind), body)
        assert status == 201, answer

    def patch(self, name: str, body: Json) -> None:
        """Merge something into a FineTuneJob."""
        status, answer = self.cluster.request("PATCH", f"{self._path('finetunejobs')}/{name}", body)
        assert status == 200, answer

    def change(self, kind: str, name: str, body: Json) -> None:
        """Merge something into an object of any kind."""
        status, answer = self.cluster.request("PATCH", f"{self._path(kind)}/{name}", body)
        assert status == 200, answer

    def remove(self, kind: str, name: str, policy: str = "Background") -> None:
        """Delete an object."""
        path = f"{self._path(kind)}/{name}?propagationPolicy={policy}"
        status, answer = self.cluster.request("DELETE", path)
        assert status in (200, 202), answer

    def write_status(self, name: str, status: Json) -> None:
        """Merge something into the status of a FineTuneJob, as nobody but the operator should."""
        code, answer = self.cluster.request("PATCH", f"{self._path('finetunejobs')}/{name}/status", {"status": status})
        assert code == 200, answer

    def objects(self, kind: str) -> list[Json]:
        """Return all objects of a kind."""
        status, answer = self.cluster.request("GET", self._path(kind))
        assert status == 200, answer
        return list(answer["items"])

    def status(self, name: str = "movies") -> Json:
        """Return the status of a FineTuneJob; empty while it has none, or is not there."""
        _, answer = self.cluster.request("GET", f"{self._path('finetunejobs')}/{name}")
        return dict(answer["status"]) if isinstance(answer.get("status"), dict) else {}

    def read(self, name: str = "movies") -> Json:
        """Return a whole FineTuneJob."""
        code, answer = self.cluster.request("GET", f"{self._path('finetunejobs')}/{name}")
        assert code == 200, answer
        return answer

    def takes(self, name: str, body: Json) -> bool:
        """Merge something into a FineTuneJob if the API server lets it; return whether it does."""
        return self.cluster.request("PATCH", f"{self._path('finetunejobs')}/{name}", body)[0] == 200

    def condition(self, kind: str, name: str = "movies") -> Json:
        """Return a condition of a FineTuneJob; empty while there is none."""
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    def message(self, kind: str = "Progressing", name: str = "movies") -> str:
        """Return what a condition of a FineTuneJob says; empty where there is none."""
        return str(self.condition(kind, name).get("message", ""))

    def run_file(self, name: str = "movies") -> Json:
        """Wait for the Job of a FineTuneJob, and return the order in it."""

        def found() -> Json | None:
            annotations = [job["spec"]["template"]["metadata"]["annotations"] for job in self.objects("jobs")]
            orders = [json.loads(each["finetune.dev/run"]) for each in annotations if "finetune.dev/run" in each]
            return next((dict(order) for order in orders if order["job"]["name"] == name), None)

        return dict(self.until(found, f"Job of {name}"))

    def phase(self, name: str = "movies") -> str:
        """Return the phase of a FineTuneJob."""
        return str(self.status(name).get("phase", ""))

    def job(self) -> Json:
        """Wait for the only Job, and return it."""
        return self.until(lambda: next(iter(self.objects("jobs")), None), "a Job")

    def pod(self) -> str:
        """Wait for a pod that is not on its way out, and return its name."""
        return str(self.until(self._living_pod, "a pod")["metadata"]["name"])

    def pods_by_job(self) -> dict[str, str]:
        """Return the names of the pods by the FineTuneJob in their label."""
        metas = [pod["metadata"] for pod in self.objects("pods")]
        return {meta["labels"]["finetune.dev/job"]: meta["name"] for meta in metas}

    def until(self, look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Look until there is something to see; return it."""
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, f"no {what} after {seconds:g} s: {self._told()}"
            time.sleep(0.05)
        return seen

    def until_phase(self, phase: str, name: str = "movies", seconds: float = PATIENCE) -> Json:
        """Wait until a FineTuneJob is in a phase; return its status."""
        self.until(lambda: self.phase(name) == phase, f"phase {phase}", seconds)
        return self.status(name)

    def writes_of(self, user: str) -> list[str]:
        """Return what that user wrote here and got through, from the audit log: verb and resource."""
        return [
            f"{line['verb']} {'/'.join(filter(None, (ref.get('resource'), ref.get('subresource'))))}"
            for line, ref in self.audit()
            if line["user"]["username"] == user
            and is_write(line["verb"], line["requestURI"])
            and line["responseStatus"]["code"] < 400
        ]

    def audit(self) -> list[tuple[Json, Json]]:
        """Return the lines of the audit log that are about this namespace, and what they refer to."""
        lines = [json.loads(line) for line in self.cluster.audit_log.read_text().splitlines()]
        pairs = [(line, line.get("objectRef") or {}) for line in lines]
        return [(line, ref) for line, ref in pairs if ref.get("namespace") == self.name]

    def _living_pod(self) -> Json | None:
        return next(
            (
                pod for pod in self.objects("pods")
                if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] in ("Pending", "Running")
            ),
            None,
        )  # fmt: skip

    def _told(self) -> str:
        names = {kind: [item["metadata"]["name"] for item in self.objects(kind)] for kind in ("jobs", "pods")}
        return json.dumps([names, [item.get("status") for item in self.objects("finetunejobs")]])[:3000]

    def _path(self, kind: str) -> str:
        groups = {"finetunejobs": "/apis/finetune.dev/v1alpha1", "jobs": "/apis/batch/v1"}
        return f"{groups.get(kind, '/api/v1')}/namespaces/{self.name}/{kind}"


def write_kubeconfig(cluster: ControlPlane, server: str, token: str, name: str) -> Path:
    """Write a kubeconfig with a token, and return its path."""
    content = json.loads(cluster.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = server
    if server.startswith("http:"):
        content["clusters"][0]["cluster"].pop("certificate-authority")
    content["users"][0]["user"] = {"token": token}
    path = cluster.folder / name
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
