"""Programs are got once, before the tests, whoever asks: by several workers, by several runs, and by one that is ended.

Go is played here by a script that takes as long as the test wants: a real build takes minutes.
"""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import binaries
import pytest

ROOT = Path(__file__).parents[2]
GO = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo "$2" >> {folder}/builds
echo half > "$2"
while [ ! -e {folder}/gate ]; do sleep 0.05; done
printf '#!/bin/sh\\n' > "$2"
chmod 755 "$2"
"""


class Machine:
    """A machine that has nothing: an empty cache, no way to the release, and a Go that waits for `open_gate`."""

    def __init__(self, folder: Path) -> None:
        (folder / "go").write_text(GO.format(folder=folder))
        (folder / "go").chmod(0o755)
        self.folder = folder
        self.cache = folder / "cache" / "finetune"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "https_proxy": "http://127.0.0.1:9",
            "KUBEBUILDER_ASSETS": "",
        }

    def get(self, *programs: str) -> "subprocess.Popen[str]":
        command = [sys.executable, str(ROOT / "tests" / "cluster" / "binaries.py"), *programs]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def pytest(self, *arguments: str) -> str:
        """Run tests; return what is seen on the terminal."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, check=False
        )
        return done.stdout.decode()

    def open_gate(self) -> None:
        (self.folder / "gate").touch()

    @property
    def builds(self) -> list[str]:
        """Programs that Go was asked for."""
        log = self.folder / "builds"
        return [Path(line).name for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def cached(self) -> list[str]:
        return sorted(path.name for path in self.cache.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_runs_build_a_program_once(machine: Machine) -> None:
    first = machine.get("helm")
    wait_until(lambda: machine.builds)
    second = machine.get("helm")
    assert second.stderr is not None
    wait_until(lambda: "Waiting for another process" in second.stderr.readline())  # type: ignore[union-attr]
    assert machine.cached == ["helm"], "the scratch file alone"
    machine.open_gate()
    out, told = first.communicate()
    assert (first.returncode, machine.builds) == (0, ["helm"]), told
    assert Path(out.strip()).read_text() == "#!/bin/sh\n"
    assert second.communicate()[0] == out
    assert re.search(r"Getting programs of the cluster, once a machine: helm\. .* about 1 min", told)
    assert re.search(r"building helm, about 70 s.*\nbuilt helm in \d+ s\nGot 1 of 1 in \d", told)


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_ended_leaves_nothing(machine: Machine, number: int) -> None:
    ended = machine.get("helm")
    wait_until(lambda: machine.cached == ["helm"])
    ended.send_signal(number)
    assert ended.communicate()[0] == ""
    wait_until(lambda: str(machine.folder / "go") not in commands())
    machine.open_gate()
    after = machine.get("helm")
    assert after.communicate()[0].strip() == str(program := next(machine.cache.rglob("helm/*/helm")))
    assert program.read_text() == "#!/bin/sh\n"
    assert (machine.builds, machine.cached) == (["helm", "helm"], ["helm"])
    assert list(program.parent.iterdir()) == [program]


def commands() -> str:
    """Command lines of all processes."""
    return subprocess.run(["ps", "-Ao", "args"], capture_output=True, text=True, check=True).stdout


def test_two_workers_get_what_the_chosen_tests_need_before_the_first_of_them(machine: Machine) -> None:
    machine.open_gate()
    seen = machine.pytest("-v", "--numprocesses=2", "tests/integration/chart/test_chart_render.py", "-k", "lint")
    assert machine.builds == ["helm"], seen
    assert seen.index("building helm, about 70 s") < seen.index("built helm in") < seen.index("PASSED"), seen


def test_tests_that_need_no_program_get_none(machine: Machine) -> None:
    machine.open_gate()
    seen = machine.pytest("tests/integration/test_control_plane_binaries.py", "-k", "the_cache_is_outside")
    assert "1 passed" in seen
    assert (machine.builds, machine.cached) == ([], [])


def test_what_can_not_be_had_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho x >> {tries}; echo no compiler; exit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(binaries, "_not_to_be_had", {})
    binaries.get_all(["helm"])
    for _ in range(2):
        with pytest.raises(binaries.BinaryMissingError, match=r"no helm: .*go build failed: no compiler"):
            binaries.find("helm")
    assert tries.read_text() == "x\n"


def test_each_program_of_a_fixture_is_one_that_is_got() -> None:
    conftest = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    assert {name for names in conftest["PROGRAMS"].values() for name in names} == set(binaries.WITHOUT_NODE)
