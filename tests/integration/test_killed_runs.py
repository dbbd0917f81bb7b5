"""A run of tests that is killed leaves no server behind, whichever of its processes is hit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import minder
import pytest
from control_plane import ControlPlane
from s3_server import S3Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are recognised by /proc"),
]
ROOT = Path(__file__).parents[2]
TEST = """
import os, time
from contextlib import ExitStack
from pathlib import Path
import pytest, s3_server
from control_plane import ControlPlane
from processes import Processes

@pytest.mark.parametrize("number", [1, 2])
def test_that_never_ends(number, tmp_path):
    with ExitStack() as stack:
        cluster = stack.enter_context(ControlPlane(tmp_path))
        store = Processes(tmp_path)
        stack.callback(store.stop)
        s3_server.start(store)
        started = {**cluster.processes._running, **store._running}
        part = Path(__file__).with_name(f"{number}.part")
        part.write_text(" ".join(str(pid) for pid in [os.getpid(), *(program.pid for program in started.values())]))
        part.rename(part.with_suffix(".pids"))
        time.sleep(600)
"""


class Run:
    """pytest with two workers; each has a control plane and an object store."""

    def __init__(self, folder: Path) -> None:
        (folder / "test_endless.py").write_text(TEST)
        command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", "-n2"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--basetemp={folder / 'tmp'}", folder / "test_endless.py"],
                stdout=log, stderr=log, cwd=folder, env=kept, start_new_session=True,
            )  # fmt: skip
        self.workers: list[int] = []
        self.servers: list[int] = []
        for number in (1, 2):
            found = folder / f"{number}.pids"
            wait_until(lambda found=found: found.exists() or self.process.poll() is not None)
            worker, *servers = map(int, found.read_text().split())
            self.workers.append(worker)
            self.servers += servers


@pytest.fixture
def run(tmp_path: Path, control_plane: ControlPlane, s3: S3Server) -> Iterator[Run]:
    assert (control_plane.kubeconfig.is_file(), s3.root.is_dir()) == (True, True), "the programs are there"
    started = Run(tmp_path)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
    started.process.wait()


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def all_ended(pids: list[int]) -> bool:
    return not any(minder.start_of(pid) for pid in pids)


def test_servers_end_with_the_killed_run(run: Run) -> None:
    assert len(run.servers) == 6
    assert not any(all_ended([pid]) for pid in run.servers)
    run.process.kill()
    wait_until(lambda: all_ended(run.servers))


def test_servers_of_a_killed_worker_end_and_no_others(run: Run) -> None:
    os.kill(run.workers[0], signal.SIGKILL)
    wait_until(lambda: all_ended(run.servers[:3]))
    assert not any(all_ended([pid]) for pid in run.servers[3:])


def test_servers_end_when_all_of_the_run_is_interrupted_twice(run: Run) -> None:
    for _ in range(2):
        os.killpg(run.process.pid, signal.SIGINT)
    wait_until(lambda: all_ended(run.servers))
