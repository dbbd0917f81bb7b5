"""What stands beside the cluster: its name server and Prometheus, as programs of this machine."""

import json
import sys
import time
import urllib.request
from pathlib import Path

import targets
from binaries import find
from control_plane import free_port
from network import ADDRESS
from processes import Processes
from state import BedError

# Names outside the cluster don't exist for pods: what they ask for must be here.
_COREFILE = """\
cluster.local {{
  bind {address}
  errors
  kubernetes {{
    kubeconfig {kubeconfig} test
    ttl 1
  }}
}}
. {{
  bind {address}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
_START_SECONDS = 30


def start_name_server(processes: Processes, kubeconfig: Path) -> None:
    """Start CoreDNS, which pods have as their name server."""
    corefile = processes.folder / "Corefile"
    corefile.write_text(_COREFILE.format(address=ADDRESS, kubeconfig=kubeconfig))
    processes.start("coredns", [find("coredns"), "-conf", corefile])


def start_prometheus(processes: Processes, kubeconfig: Path) -> str:
    """Start Prometheus on the pods of the operator and of its jobs; return its address.

    Raises `BedError` with the end of its log when it does not serve.
    """
    folder = processes.folder
    found = folder / "targets.json"
    follow_targets(processes, kubeconfig, found)
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps(targets.scraping(str(found))))
    address = f"127.0.0.1:{free_port()}"
    processes.start("prometheus", [
        "prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}", "--log.level=warn",
    ])  # fmt: skip
    _wait_for_prometheus(processes, f"http://{address}")
    return f"http://{address}"


def follow_targets(processes: Processes, kubeconfig: Path, file: Path) -> None:
    """Keep a file up to date with what Prometheus scrapes, in a process of its own."""
    processes.start("targets", [sys.executable, Path(targets.__file__), kubeconfig, file])


def _wait_for_prometheus(processes: Processes, address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while processes.alive("prometheus") and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/-/ready", timeout=5).close()  # noqa: S310 -- this machine
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise BedError(f"Prometheus did not start:\n{processes.log_tail('prometheus')}")
