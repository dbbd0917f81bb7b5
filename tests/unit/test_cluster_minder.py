"""What a process started ends with it, also when it is killed and can't see to that itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import minder
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are recognised by /proc")
CLUSTER = str(Path(minder.__file__).parent)
SERVER = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
STARTS = f"""
import os, sys, time
from pathlib import Path
from processes import Processes
processes = Processes(Path(sys.argv[1]))
processes.start("server", {SERVER!r})
server = processes._running["server"].pid
"""


class Starter:
    """A process that starts a server and then does as the words say; `server` is the server's process id."""

    def __init__(self, folder: Path, then: str) -> None:
        program = f"{STARTS}\nprint(server, flush=True)\n{then}"
        command = [sys.executable, "-c", program, str(folder)]
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": CLUSTER}, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.server = int(self.process.stdout.readline())

    def end(self, number: int = 0) -> None:
        if number:
            self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def wait_for_the_end_of(pid: int) -> None:
    deadline = time.monotonic() + 30
    while minder.start_of(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.05)


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_server_ends_with_the_process_that_was_killed(tmp_path: Path, number: int) -> None:
    starter = Starter(tmp_path, "time.sleep(600)")
    assert minder.start_of(starter.server)
    starter.end(number)
    wait_for_the_end_of(starter.server)


def test_a_forked_copy_of_the_killed_process_does_not_keep_the_server(tmp_path: Path) -> None:
    starter = Starter(tmp_path, "copy = os.fork()\nprint(copy if copy else '', flush=True)\ntime.sleep(600)")
    assert starter.process.stdout is not None
    said = [starter.process.stdout.readline().strip() for _ in range(2)]  # both: who writes later finds a closed pipe
    copy = int(next(filter(None, said)))
    try:
        starter.end(signal.SIGKILL)
        wait_for_the_end_of(starter.server)
        assert minder.start_of(copy)
    finally:
        os.kill(copy, signal.SIGKILL)


def test_a_server_that_nobody_stopped_ends_with_its_process(tmp_path: Path) -> None:
    starter = Starter(tmp_path, "")
    starter.end()
    wait_for_the_end_of(starter.server)
    assert starter.process.returncode == 0


def test_the_group_of_a_leader_ends_with_it(tmp_path: Path) -> None:
    leads = f"import subprocess; print(subprocess.Popen({SERVER!r}).pid, flush=True); import time; time.sleep(600)"
    entrusts = f"""
import minder, subprocess
leader = subprocess.Popen({[sys.executable, "-c", leads]!r}, start_new_session=True)
minder.entrust(leader.pid)
time.sleep(600)
"""
    starter = Starter(tmp_path, entrusts)
    assert starter.process.stdout is not None
    member = int(starter.process.stdout.readline())
    starter.end(signal.SIGKILL)
    wait_for_the_end_of(member)


def test_what_was_taken_back_and_what_has_a_number_anew_is_left_alone(tmp_path: Path) -> None:
    starter = Starter(tmp_path, "import minder; minder.take_back(server)")
    try:
        starter.end()
        assert minder.start_of(starter.server)
        minder._kill(starter.server, "1")
        assert minder.start_of(starter.server)
    finally:
        os.kill(starter.server, signal.SIGKILL)
    wait_for_the_end_of(starter.server)


def test_programs_that_shall_outlive_their_parent_do(tmp_path: Path) -> None:
    outlives = f"other = Processes(Path(sys.argv[1]), outlive=True)\nother.start('other', {SERVER!r})\n"
    starter = Starter(tmp_path, f"{outlives}print(other._running['other'].pid, flush=True)\ntime.sleep(600)")
    assert starter.process.stdout is not None
    other = int(starter.process.stdout.readline())
    starter.end(signal.SIGKILL)
    wait_for_the_end_of(starter.server)
    assert minder.start_of(other)
    os.kill(other, signal.SIGKILL)
