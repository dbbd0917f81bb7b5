"""A node that no kubelet answers for: pods that run there end only by force."""

import json
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from kubectl_commands import Json, Kubectl


class SilentNode:
    """`with SilentNode(...) as node:` adds one to the cluster; nothing is scheduled to it."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl = kubectl
        self._name = name

    def __enter__(self) -> Self:
        """Add it."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name}, "spec": {"unschedulable": True}}
        self._kubectl.apply(node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove it."""
        self._kubectl("delete", "node", self._name, "--wait=false")

    def run(self, pod: Json) -> None:
        """Bind a pod that waits to the node, and say that its container runs."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        target = {"apiVersion": "v1", "kind": "Node", "name": self._name}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/binding"
        self._kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        trainer = {
            "name": "trainer", "image": "i", "imageID": "i", "restartCount": 0, "ready": True,
            "state": {"running": {"startedAt": now}},
        }  # fmt: skip
        status = {"phase": "Running", "containerStatuses": [trainer]}
        # as the node, whose word alone counts, and with the right to read the pod first, as kubectl does
        node = ("--as", f"system:node:{self._name}", "--as-group", "system:nodes", "--as-group", "system:masters")
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}), *node)
        self._kubectl("patch", "pod", name, "-n", namespace, *patch)
