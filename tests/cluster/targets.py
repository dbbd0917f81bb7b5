"""Tells Prometheus which pods to scrape: Debian's Prometheus can't ask Kubernetes itself.

    python tests/cluster/targets.py KUBECONFIG FILE     # keeps FILE up to date until it is ended

Targets and labels are those of the chart's PodMonitor and ServiceMonitor: pods of the operator and of its jobs, their
port `metrics`, with the labels `namespace`, `pod` and `container`.
"""

import json
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SECONDS = 1
_NAME, _MANAGER = "app.kubernetes.io/name", "app.kubernetes.io/managed-by"
_OURS = ("finetune-operator", "finetune-trainer")


def targets(pods: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield target groups as Prometheus reads them from a file."""
    for pod in pods:
        metadata, status = pod["metadata"], pod["status"]
        labels = metadata.get("labels", {})
        if status.get("phase") != "Running" or "podIP" not in status:
            continue
        if labels.get(_NAME) not in _OURS and labels.get(_MANAGER) not in _OURS:
            continue
        for container in pod["spec"]["containers"]:
            names = {"namespace": metadata["namespace"], "pod": metadata["name"], "container": container["name"]}
            for port in container.get("ports", []):
                if port.get("name") == "metrics":
                    yield {"targets": [f"{status['podIP']}:{port['containerPort']}"], "labels": names}


def follow(kubeconfig: Path, file: Path) -> None:
    """Keep the file up to date; never returns. A failed request is tried again."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cafile=cluster["certificate-authority"])
    request = urllib.request.Request(  # noqa: S310 -- always https, to the API server
        f"{cluster['server']}/api/v1/pods?resourceVersion=0", headers={"Authorization": f"Bearer {user['token']}"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, context=trust, timeout=10) as response:  # noqa: S310 -- always https
                _write(file, list(targets(json.load(response)["items"])))
        except OSError as error:
            sys.stderr.write(f"{error}\n")
        time.sleep(_SECONDS)


def _write(file: Path, groups: list[dict[str, Any]]) -> None:
    text = json.dumps(groups, indent=1)
    if not file.is_file() or file.read_text() != text:
        part = file.with_suffix(".part")
        part.write_text(text)
        part.replace(file)


if __name__ == "__main__":
    follow(Path(sys.argv[1]), Path(sys.argv[2]))
