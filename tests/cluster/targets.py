"""Tells Prometheus which pods to scrape: Debian's Prometheus can't ask Kubernetes itself.

    python tests/cluster/targets.py KUBECONFIG FILE     # keeps FILE up to date until it is ended

Targets and labels are those of the chart's PodMonitor and ServiceMonitor: pods of the operator and of its jobs, their
port `metrics`, with the labels `namespace`, `pod` and `container`.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

_SECONDS = 1
_TIMEOUT_SECONDS = 10
_SCRAPE_INTERVAL = "2s"
"""Short, as the jobs of tests are."""
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


def scraping(file: str) -> dict[str, Any]:
    """Return the configuration of a Prometheus that reads its targets from `file`."""
    # It is looked at often, too: where the file is on another system than Prometheus, nothing tells of a change.
    found = [{"files": [file], "refresh_interval": f"{_SECONDS}s"}]
    job = {"job_name": "finetune", "honor_labels": True, "file_sd_configs": found}
    return {"global": {"scrape_interval": _SCRAPE_INTERVAL}, "scrape_configs": [job]}


def follow(kubeconfig: Path, file: Path) -> None:
    """Keep the file up to date; never returns. A failed request is tried again."""
    pods: Any = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))  # its types know no raw answer
    while True:
        try:
            answer = pods.list_pod_for_all_namespaces(
                resource_version="0", _preload_content=False, _request_timeout=_TIMEOUT_SECONDS
            )
            _write(file, list(targets(json.loads(answer.data)["items"])))
        except (client.ApiException, urllib3.exceptions.HTTPError) as error:
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
