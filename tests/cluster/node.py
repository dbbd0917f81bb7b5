"""kubelet and kube-proxy: this machine as the one node of the cluster."""

import json
from pathlib import Path

import mounts
from binaries import find
from control_plane import ControlPlane
from network import ADDRESS
from processes import Processes

NAME = "node1"


def start(processes: Processes, control_plane: ControlPlane, socket: Path) -> None:
    """Start both; the node is ready some seconds later.

    Args:
        processes: What they become part of; the node's files are in its folder.
        control_plane: What they log in to.
        socket: containerd's.
    """
    folder = processes.folder
    users = {name: folder / f"{name}.kubeconfig" for name in ("kubelet", "kube-proxy")}
    for user, path in users.items():
        control_plane.credentials.write_kubeconfig(path, control_plane.server, user)
    configuration = folder / "kubelet.json"
    configuration.write_text(json.dumps(_kubelet(folder, socket)))
    processes.start("kubelet", [
        find("kubelet"), f"--config={configuration}", f"--kubeconfig={users['kubelet']}",
        f"--root-dir={folder / 'kubelet'}", f"--hostname-override={NAME}", f"--node-ip={ADDRESS}",
    ])  # fmt: skip
    processes.start("kube-proxy", [
        find("kube-proxy"), f"--kubeconfig={users['kube-proxy']}", f"--hostname-override={NAME}",
        "--proxy-mode=iptables", "--masquerade-all", "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
        "--healthz-bind-address=127.0.0.1", "--metrics-bind-address=127.0.0.1",
    ])  # fmt: skip


def clean(folder: Path) -> None:
    """Remove what pods leave on the machine: processes, mounts, rules of services."""
    mounts.empty_cgroup("kubepods")
    mounts.unmount_below(folder)
    mounts.run_quietly([str(find("kube-proxy")), "--cleanup"])


def _kubelet(folder: Path, socket: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        # The bed is closed: only this machine and its own pods reach the address.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{socket}",
        "podLogsDir": str(folder / "logs"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        # Nobody could bring an image back that was collected.
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "runtimeRequestTimeout": "10m",  # the first start from an image may have to unpack gigabytes
    }
