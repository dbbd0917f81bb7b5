"""The node of a kind cluster: its image, the ports that it opens on this machine, and the folders that both share."""

import json
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_POLICY = "/etc/kubernetes/finetune-audit-policy.yaml"
_LOGS = "/var/log/finetune-audit"
_LOG = "audit.log"
_TARGETS = "/var/lib/finetune-targets"
"""Folder of the node that kind.yaml mounts into Prometheus."""
_MEBIBYTES = 512
"""Size at which the audit log would start anew; a log of a session is far below it."""


def configuration(ports: tuple[int, ...], audit_logs: Path, targets: Path, image: str = "") -> dict[str, Any]:
    """Return the cluster of one node as `kind create cluster --config` reads it.

    Args:
        ports: Ports of the node that are opened on 127.0.0.1 under the same numbers.
        audit_logs: Folder of this machine that gets the API server's audit log.
        targets: Folder of this machine that has the list of what Prometheus scrapes.
        image: Image of the node; empty for kind's own.
    """
    node = {
        "role": "control-plane",
        **({"image": image} if image else {}),
        "extraPortMappings": [{"containerPort": p, "hostPort": p, "listenAddress": "127.0.0.1"} for p in ports],
        "extraMounts": [
            {"hostPath": str(_HERE / "audit-policy.yaml"), "containerPath": _POLICY, "readOnly": True},
            {"hostPath": str(audit_logs), "containerPath": _LOGS},
            {"hostPath": str(targets), "containerPath": _TARGETS, "readOnly": True},
        ],
        "kubeadmConfigPatches": [_patch(version) for version in ("v1beta3", "v1beta4")],
    }
    # Policies that change objects stand for the webhooks of a mesh. They are beta in Kubernetes 1.34.
    beta = {
        "featureGates": {"MutatingAdmissionPolicy": True},
        "runtimeConfig": {"admissionregistration.k8s.io/v1beta1": "true"},
    }
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [node], **beta}


def make_audit_log(folder: Path) -> Path:
    """Make the empty audit log below `folder`; return its path.

    The API server, which is root, writes on in a file that is there, and so leaves it to its owner to read.
    """
    log = folder / "audit" / _LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    return log


def _patch(version: str) -> str:
    """A patch of kubeadm's configuration in one version of its format; kind takes the one of its Kubernetes."""
    arguments = {
        "audit-policy-file": _POLICY,
        "audit-log-path": f"{_LOGS}/{_LOG}",
        "audit-log-maxsize": str(_MEBIBYTES),
    }
    listed = [{"name": name, "value": value} for name, value in arguments.items()]
    volumes = [
        {"name": "audit-policy", "hostPath": _POLICY, "mountPath": _POLICY, "readOnly": True, "pathType": "File"},
        {"name": "audit-logs", "hostPath": _LOGS, "mountPath": _LOGS, "pathType": "Directory"},
    ]
    server = {"extraArgs": arguments if version == "v1beta3" else listed, "extraVolumes": volumes}
    return json.dumps({"apiVersion": f"kubeadm.k8s.io/{version}", "kind": "ClusterConfiguration", "apiServer": server})
