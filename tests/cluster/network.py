"""The pods' network: a bridge on this machine that leads nowhere else."""

import json
import subprocess
from pathlib import Path

BRIDGE = "finetune0"
ADDRESS = "10.88.0.1"
"""This machine on the bridge: the address of the node, the API server and all servers that pods use."""
_PREFIX = 16
_SUBNET = "10.88.0.0/16"


def up(configuration: Path, leases: Path) -> None:
    """Make the bridge, and write how pods are put on it.

    Args:
        configuration: Folder for the CNI configuration.
        leases: Folder for the addresses that pods have.
    """
    down()
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{ADDRESS}/{_PREFIX}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    configuration.mkdir(parents=True)
    (configuration / "10-bridge.conflist").write_text(json.dumps(_networks(leases)))


def down() -> None:
    """Remove the bridge, where there is one; pods' ends of it vanish with their namespaces."""
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        _ip("link", "delete", BRIDGE)


def _networks(leases: Path) -> dict[str, object]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": _SUBNET}]], "dataDir": str(leases)}
    routes = {"routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses | routes}
    return {"cniVersion": "0.4.0", "name": "finetune", "plugins": [bridge]}


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
