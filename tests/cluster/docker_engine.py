"""A Docker engine of our own: for machines that have the program and no service, and for tests that want no traces.

It has its own socket, never /var/run/docker.sock: everything that asks `docker info` would turn to it. It runs in
namespaces of its own for processes and mounts: when its first process ends, the kernel ends the containers and unmounts
what they had. Images stay below the cache, for the next time.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mounts
import narrow_runtime
from caches import caches
from host_settings import HostSettings
from processes import Processes
from state import BedError, state_folder

FOLDER = state_folder().with_name("kind-smoke") / "engine"
"""State of the engine: one a user."""
PACKAGES = Path(__file__).with_name("kind-packages.txt")
_NAME = "dockerd"
_TOOLS = (
    "dockerd", "docker-proxy", "containerd", "runc", "iptables", "iptables-save", "ip", "unshare",
    "buildah", "debootstrap",
)  # fmt: skip
"""Programs of the engine, and the two that make the base of all images where none can be pulled."""
_START_SECONDS = 60
_STOP_SECONDS = 20
_CGROUP = "docker"
"""Parent of the containers' control groups, Docker's default."""


class DockerEngine:
    """The engine whose state is in `folder`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.data = caches() / "kind-smoke" / "docker"
        self._socket = folder / "docker.sock"
        self._before = folder / "host-settings.json"

    @property
    def environment(self) -> dict[str, str]:
        """What makes the `docker` and `kind` commands use this engine.

        Debian's client has no buildx plugin: its engine has BuildKit, which must be asked for. A client of another
        version may stand before it in PATH.
        """
        tools = self.folder / "tools"
        return {
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_CONFIG": str(self.folder / "configuration"),
            "DOCKER_BUILDKIT": "1",
            "PATH": f"{tools}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start it.

        Raises `BedError` where the machine lacks something, and with the end of the log when it does not serve.
        """
        _check_machine()
        self.stop()
        for folder in (self.folder / "tools", self.folder / "configuration", self.data):
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "tools" / "docker").symlink_to(_debians("docker"))
        (self.folder / "configuration" / "config.json").write_text("{}")  # buildah does not do without one
        HostSettings.take().save(self._before)
        # Where packets are not forwarded yet, Docker would set the policy to drop those of everybody else.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        processes = self._processes()
        processes.start(_NAME, [*_NAMESPACES, "dockerd", *self._arguments()])
        self._wait(processes)
        self._remove_containers()

    def runs(self) -> bool:
        """Whether it was started and did not end."""
        return self.folder.exists() and self._processes().alive(_NAME)

    def stop(self) -> None:
        """End it with its containers, also one that crashed, and undo what it changed on this machine."""
        if not self.folder.exists():
            return
        processes = self._processes()
        _end_first_process(processes)
        processes.stop()
        if before := HostSettings.load(self._before):
            mounts.unmount_below(self.folder)
            mounts.empty_cgroup(_CGROUP)
            before.restore()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> Processes:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Processes(self.folder, outlive=True)

    def _arguments(self) -> list[str]:
        return [
            f"--data-root={self.data}", f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}",
            f"--host=unix://{self._socket}", "--storage-driver=overlay2", "--exec-opt=native.cgroupdriver=cgroupfs",
            "--oom-score-adjust=0", f"--add-runtime=narrow={self._runtime()}", "--default-runtime=narrow",
        ]  # fmt: skip

    def _runtime(self) -> Path:
        """A runtime as dockerd takes it: one program without arguments of its own."""
        program = self.folder / "narrow-runtime"
        command = [sys.executable, "-I", "-S", narrow_runtime.__file__, str(shutil.which("runc"))]
        program.write_text(f'#!/bin/sh\nexec {" ".join(command)} "$@"\n')
        program.chmod(0o755)
        return program

    def _wait(self, processes: Processes) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not processes.alive(_NAME) or time.monotonic() > deadline:
                raise BedError(f"the Docker engine did not start:\n{processes.log_tail(_NAME)}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        return self._docker("info").returncode == 0

    def _remove_containers(self) -> None:
        """Remove what a killed engine remembers: a node's volume has gigabytes."""
        if containers := self._docker("ps", "--all", "--quiet").stdout.split():
            self._docker("rm", "--force", "--volumes", *containers)
        self._docker("network", "prune", "--force")

    def _docker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment}
        return subprocess.run(["docker", *arguments], env=environment, capture_output=True, text=True, check=False)


_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
"""With `--kill-child` the engine ends when unshare ends, and with the engine its whole namespace of processes."""


def _end_first_process(processes: Processes) -> None:
    """Let the engine end by itself, so that its images are closed properly: unshare passes no signals on."""
    for outside in processes.pids():
        children = Path(f"/proc/{outside}/task/{outside}/children")
        for child in children.read_text().split() if children.is_file() else ():
            os.kill(int(child), signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while processes.pids() and time.monotonic() < deadline:
        time.sleep(0.1)


def _debians(program: str) -> Path:
    """The program of Debian's package, which fits its engine, or the one that there is."""
    packaged = Path("/usr/bin") / program
    found = packaged if packaged.is_file() else shutil.which(program)
    if found is None:
        raise BedError(f"{program} not found: {_remedy()}")
    return Path(found)


def _check_machine() -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise BedError("there is no Docker engine, and starting one needs Linux and root: start Docker")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise BedError(f"there is no Docker engine, and {', '.join(missing)} not found: {_remedy()}")


def _remedy() -> str:
    return f"start Docker, or apt-get install {' '.join(PACKAGES.read_text().split())}"
