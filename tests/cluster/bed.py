"""A Kubernetes cluster on this machine for the tests, with an object store and Prometheus.

    python tests/cluster/bed.py up | down | status | packages

With a Docker engine it is a kind cluster. Without one (Linux, root) it is made of processes: a control plane,
containerd, kubelet, kube-proxy and CoreDNS. `up` when it is up tells so; `down` ends exactly what `up` started.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker_engine
import images
import kind
import mounts
import network
import node
import progress
import s3_server
import services
import turns
import volumes
from binaries import BinaryMissingError, find, get_all
from containers import Containers
from control_plane import ControlPlane
from processes import Processes
from state import OPERATOR_IMAGE, TRAINER_IMAGE, Bed, BedError, state_folder

PACKAGES = Path(__file__).with_name("packages.txt")
_PROGRAMS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl",
    "kubelet", "kube-proxy", "coredns", "versitygw", "pause", "helm",
)  # fmt: skip
_TOOLS = ("containerd", "ctr", "runc", "iptables", "conntrack", "prometheus", "ip", "umount")
# Policies that change objects stand for the webhooks of a mesh. They are beta in Kubernetes 1.34.
_API_SERVER = (
    "--kubelet-preferred-address-types=InternalIP",
    "--feature-gates=MutatingAdmissionPolicy=true", "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
)  # fmt: skip
_READY_SECONDS = 120


def up() -> Bed:
    """Start the cluster, or find it running; return what one needs to know to use it.

    Raises `BedError` when it can't be started.
    """
    with turns.alone():
        if bed := running():
            progress.tell(f"The cluster is up: export KUBECONFIG={bed.kubeconfig}")
            return bed
        return _start()


def _start() -> Bed:
    start = time.monotonic()
    bed = kind.up(state_folder()) if images.docker_runs() else _start_node()
    bed.save(state_folder())
    progress.tell(f"The cluster is up after {time.monotonic() - start:.0f} s: export KUBECONFIG={bed.kubeconfig}")
    return bed


def running() -> Bed | None:
    """The cluster that is up and answers, or None."""
    bed = Bed.load(state_folder())
    if bed is None or (bed.kind == "node" and any(part.ended() for part in _parts(state_folder()))):
        return None
    return bed if bed.kubectl("get", "--raw=/readyz").returncode == 0 else None


def down() -> None:
    """End the cluster, also one that crashed; its state goes, images stay."""
    with turns.alone():
        _end()
    progress.tell("The cluster is down")


def _end() -> None:
    folder = state_folder()
    bed = Bed.load(folder)
    if bed is not None and bed.kind == "kind":
        kind.down(folder)
    elif folder.exists():
        _stop_node(folder)
        if left := mounts.mounted_below(folder):  # to delete it now would delete what is mounted
            raise BedError(f"still mounted: {', '.join(map(str, left))}; unmount them, then `make cluster-down` again")
    shutil.rmtree(folder, ignore_errors=True)


def _parts(folder: Path) -> tuple[Processes, Processes]:
    """The processes of the control plane, and those around it."""
    return Processes(folder / "control-plane", outlive=True), Processes(folder / "node", outlive=True)


def _start_node() -> Bed:
    _check_machine()
    folder = state_folder()
    if folder.exists():
        with progress.step("what was left of an earlier cluster removed"):
            _end()
    for part in ("control-plane", "node"):
        (folder / part).mkdir(parents=True, mode=0o700)
    try:
        return _compose(folder)
    except BaseException:
        _stop_node(folder)  # the logs stay until the next start
        raise


def _compose(folder: Path) -> Bed:
    processes = Processes(folder / "node", outlive=True)
    with progress.step("network"):
        network.up(folder / "networks", folder / "leases")
    control_plane = ControlPlane(
        folder / "control-plane", controllers=True, scheduler=True, audit=True, outlive=True,
        address=network.ADDRESS, arguments=_API_SERVER,
    )  # fmt: skip
    containers = Containers(folder)
    with progress.step("containerd"):
        containers.start(processes, folder / "networks")
        containers.load_pause()
    with progress.step("control plane"):
        control_plane.start()
    node.start(processes, control_plane, containers.socket)
    services.start_name_server(processes, control_plane.kubeconfig)
    with progress.step("object store and Prometheus"):
        store = s3_server.start(processes, network.ADDRESS)
        prometheus = services.start_prometheus(processes, control_plane.kubeconfig)
    bed = Bed(
        kind="node", kubeconfig=str(control_plane.kubeconfig),
        s3_endpoint=store.endpoint, s3_local_endpoint=store.endpoint,
        s3_access_key=store.access_key, s3_secret_key=store.secret_key,
        prometheus_url=prometheus, audit_log=str(control_plane.audit_log),
        operator_image=OPERATOR_IMAGE, trainer_image=TRAINER_IMAGE, storage_class=volumes.STORAGE_CLASS,
    )  # fmt: skip
    bed.kubectl("create", "-f", "-", stdin=volumes.manifests(folder / "volumes"))
    with progress.step("node"):
        _wait_for_node(bed, processes)
    _load_images(containers)
    return bed


def _wait_for_node(bed: Bed, processes: Processes) -> None:
    """Return when pods can run: the node is ready and the scheduler may use it."""
    deadline = time.monotonic() + _READY_SECONDS
    ready = "{.status.conditions[?(@.type=='Ready')].status}{.spec.taints[*].key}"
    while bed.kubectl("get", "node", node.NAME, f"-o=jsonpath={ready}").stdout != "True":
        for name in processes.ended() or (["kubelet"] if time.monotonic() > deadline else []):
            raise BedError(f"{name} did not get the node ready:\n{processes.log_tail(name)}")
        time.sleep(0.2)


def _load_images(containers: Containers) -> None:
    """Take what was built and is not there yet; a cluster without images is of use, too."""
    built, there = images.built(), containers.images()
    images.load("node", [image for name in built if (image := images.IMAGES[name]) not in there])
    if missing := [name for name in images.IMAGES if name not in built]:
        progress.tell(f"Not built yet: {', '.join(missing)}. `make images` builds and loads them")


def _stop_node(folder: Path) -> None:
    """End the processes, the pods' with them, and remove what they leave on the machine."""
    control_plane, around = _parts(folder)
    containers = Containers(folder)
    around.stop("kubelet", "kube-proxy")
    containers.remove_containers()
    around.stop()
    control_plane.stop()
    containers.clean()
    node.clean(folder)
    network.down()


def _check_machine() -> None:
    """Raise `BedError` where the machine can't be a node, with the remedy."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise BedError("a cluster without Docker needs Linux and root: start Docker, so that kind is used")
    if docker_engine.DockerEngine().runs():
        raise BedError("the smoke test on kind runs, or was left by `up`: end it by `make kind-smoke ARGS=down`")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        packages = " ".join(PACKAGES.read_text().split())
        raise BedError(f"{', '.join(missing)} not found: apt-get install {packages}")
    get_programs()
    for program in _PROGRAMS:
        find(program)


def get_programs() -> None:
    """Get the programs of a cluster without Docker: minutes, once a machine."""
    get_all(_PROGRAMS)


def _status() -> None:
    bed = running()
    if bed is None:
        sys.exit("The cluster is down: `make cluster-up` starts it")
    shown = replace(bed, s3_access_key="...", s3_secret_key="...")
    progress.tell("\n".join(f"{name}: {value}" for name, value in vars(shown).items() if value))


_COMMANDS: dict[str, Callable[[], object]] = {
    "up": up,
    "down": down,
    "status": _status,
    "packages": lambda: progress.tell(" ".join(PACKAGES.read_text().split())),
}

if __name__ == "__main__":
    command = _COMMANDS.get(sys.argv[1]) if len(sys.argv) == 2 else None
    if command is None:
        sys.exit(__doc__)
    try:
        command()
    except (BedError, BinaryMissingError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
