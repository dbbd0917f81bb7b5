"""The watchdog of the trainer: what ends a process, and what does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finetune_trainer.pod.watchdog import Heartbeat, IdleTime, Signs

LIMIT = 2.0
PROGRAM = """
import ctypes, signal, socket, sys, threading, time
from pathlib import Path
from finetune_trainer.pod.watchdog import Position, watched

def ending(last):
    Path(sys.argv[1]).write_text(f"was at {{last.doing}}, {{tuple(last.position)}}")

def {name}(heartbeat):
{body}

with watched({limit}, ending) as heartbeat:
    heartbeat.move_to(Position(attempt=2, step=70, resumed_from=50))
    heartbeat.beat("the first thing")
    print("begun", flush=True)
    {name}(heartbeat)
print("done", flush=True)
"""
HANGS = {
    "waits_for_an_answer": """
    server = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(server.getsockname()).recv(1)
""",
    "sleeps_below_python": """
    ctypes.PyDLL(None).sleep(600)  # which keeps the lock of the interpreter
""",
    "waits_for_itself": """
    lock = threading.Lock()
    lock.acquire()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    lock.acquire()
""",
    "turns_in_circles": """
    while True:
        pass
""",
}
LIVES = {
    "makes_slow_steps": """
    for step in range(4):
        time.sleep(1.5)
        heartbeat.beat(f"step {step}")
""",
    "copies_a_file": """
    for _ in range(6):
        time.sleep(1)
        with open("/dev/null", "wb") as file:
            file.write(bytes(8 << 20))
""",
    "says_nothing_for_less": """
    time.sleep(1.5)
""",
}
Start = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a program under the watchdog, and returns once it is."""
    started = list[subprocess.Popen[str]]()

    def begin(name: str, body: str) -> "subprocess.Popen[str]":
        program = PROGRAM.format(name=name, body=body, limit=LIMIT)
        command = [sys.executable, "-c", program, str(tmp_path / "ending")]
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", HANGS)
def test_a_process_that_hangs_is_ended_with_its_traces(name: str, start: Start, tmp_path: Path) -> None:
    process = start(name, HANGS[name])
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 14, err
    assert time.monotonic() - began > 0.9 * LIMIT
    assert "most recent call first" in err
    assert f"in {name}" in err
    assert (tmp_path / "ending").read_text() == "was at the first thing, (2, 70, 50)"


@pytest.mark.parametrize("name", LIVES)
def test_a_slow_one_is_left_alone(name: str, start: Start, tmp_path: Path) -> None:
    process = start(name, LIVES[name])
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "done\n", "")
    assert not (tmp_path / "ending").exists()


def test_a_stopped_process_is_not_hung(start: Start) -> None:
    process = start("rests", "    time.sleep(1)\n    time.sleep(0.5)\n")
    process.send_signal(signal.SIGSTOP)
    time.sleep(3 * LIMIT)
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "done\n", "")


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("ending", [signal.SIGKILL, None])
def test_the_watchdog_ends_with_its_process(ending: signal.Signals | None, start: Start) -> None:
    process = start("ends", "    time.sleep(1)\n")
    (watchdog,) = children(process.pid)
    if ending is not None:
        process.send_signal(ending)
    process.wait(timeout=10)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{watchdog}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{watchdog}").exists()


def test_time_without_a_look_counts_once() -> None:
    """A machine that slept for an hour between two looks: of that, no more counts than one look may."""
    idle = IdleTime(Signs(0, 0), now=100.0, longest_look=30.0)
    assert idle.look(Signs(0, 0), 115.0, stopped=False) == 15.0
    assert idle.look(Signs(0, 0), 3715.0, stopped=False) == 45.0
    assert idle.look(Signs(0, 0), 3730.0, stopped=True) == 45.0
    assert idle.look(Signs(1, 0), 3745.0, stopped=False) == 0.0
    assert idle.look(Signs(1, 0), 3760.0, stopped=False) == 15.0


def test_a_trickle_adds_up_to_a_transfer_and_a_scrape_does_not() -> None:
    idle = IdleTime(Signs(0, 0), now=0.0, longest_look=30.0)
    found = [idle.look(Signs(0, step << 20), 15.0 * step, stopped=False) for step in range(1, 9)]
    assert found == [15.0, 30.0, 45.0, 0.0, 15.0, 30.0, 45.0, 0.0]


def test_what_was_done_last_is_told_across_processes() -> None:
    heartbeat = Heartbeat()
    heartbeat.beat("Training, step 3 of 7")
    heartbeat.beat()
    heartbeat.beat("é" * 300)
    child = os.fork()
    if not child:
        heartbeat.beat("Exporting")
        os._exit(0)
    os.waitpid(child, 0)
    assert (heartbeat.count, heartbeat.doing) == (4, "Exporting")
