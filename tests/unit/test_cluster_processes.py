import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def test_a_started_program_has_a_log_and_an_end(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("told", [sys.executable, "-c", "import os; print(os.environ['WORD'])"], {"WORD": "hello"})
    wait_for("hello", processes.log("told"))
    deadline = time.monotonic() + 20
    while not processes.ended():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (processes.ended(), processes.log_tail("told").strip()) == (["told"], "hello")
    processes.stop()
    assert processes.ended() == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are recognised by /proc")
def test_another_process_ends_what_outlived_its_parent(tmp_path: Path) -> None:
    start = f"Processes(Path({str(tmp_path)!r}), outlive=True).start('sleep', {SLEEP!r})"
    program = f"from pathlib import Path\nfrom processes import Processes\n{start}"
    path = str(Path(__file__).parents[1] / "cluster")
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=True)
    found = Processes(tmp_path, outlive=True)
    assert found.alive("sleep")
    found.stop()
    assert not found.alive("sleep")
    assert json.loads((tmp_path / "processes.json").read_text()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are recognised by /proc")
def test_a_process_that_got_the_number_of_an_ended_one_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        entry = {"name": "gone", "pid": stranger.pid, "started": "1"}
        (tmp_path / "processes.json").write_text(json.dumps([entry]))
        found = Processes(tmp_path, outlive=True)
        assert found.ended() == ["gone"]
        found.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_program_that_ignores_the_request_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processes._STOP_SECONDS", 0.2)
    processes = Processes(tmp_path)
    processes.start("deaf", STUBBORN)
    wait_for("deaf", processes.log("deaf"))
    processes.stop("deaf")
    assert not processes.alive("deaf")
