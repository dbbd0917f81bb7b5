"""Processes of the check, each with a limit of time: the tests, and ways of training."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from gpu.python_path import ROOT, environment
from gpu.sizes import Size
from gpu.table import Row
from gpu.ways import Way

_SHOWN = 400
"""Characters of a reason in the table."""
_TESTS_SHARE = 0.4
"""Most of the time that the tests may take on a GPU."""
_LEAST_SECONDS = 20
"""With less time left, nothing more is begun."""


class NotDone(Exception):  # noqa: N818 -- said in the table
    """A process that failed, or for which no time was left."""


@dataclass(frozen=True)
class Check:
    """Where the check works, on what size, and until when."""

    scratch: Path
    size: Size
    end: float
    """By `time.monotonic`."""
    rehearsal: bool
    script: Path

    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def tests(self) -> list[Row]:
        """The tests marked `gpu`; one row each."""
        report = self.scratch / "tests.xml"
        settings = ["-c", "/dev/null", f"--rootdir={ROOT}", "--import-mode=importlib", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *settings, "-q", "-m", "gpu", f"--junitxml={report}"]
        try:
            done = self._run(
                [*command, str(ROOT / "tests" / "gpu")], self.left() * (1 if self.rehearsal else _TESTS_SHARE)
            )
        except NotDone as why:
            return [Row("tests marked gpu", str(why), failed=True)]
        if not report.exists():
            return [Row("tests marked gpu", (done.stdout + done.stderr)[-_SHOWN:], failed=True)]
        return [_row_of(case) for case in ET.parse(report).iter("testcase")]  # noqa: S314 -- pytest wrote it

    def measured(self, chosen: list[Way]) -> Iterator[Row]:
        """Ways of training, each in a process of its own; in a rehearsal all in one, which starts faster."""
        for together in [chosen] if self.rehearsal else [[way] for way in chosen]:
            yield from self._measured(together)

    def _measured(self, chosen: list[Way]) -> list[Row]:
        names = ";".join(way.name for way in chosen)
        which = ["--family", self.size.family, *(["--dry-run"] if self.rehearsal else [])]
        command = [sys.executable, str(self.script), "--measure", names, "--folder", str(self.scratch), *which]
        try:
            done = self._run(command, self.left())
        except NotDone as why:
            return [Row(way.name, str(why), failed=True) for way in chosen]
        said = [json.loads(text) for text in done.stdout.splitlines() if text.startswith('{"way": ')]
        found = {one["way"]: one for one in said}
        return [_row_of_way(way, found.get(way.name) or {"failed": done.stderr}) for way in chosen]

    def _run(self, command: list[str], seconds: float) -> "subprocess.CompletedProcess[str]":
        if seconds < _LEAST_SECONDS:
            raise NotDone("not begun: no time was left")
        known = environment(self.scratch, rehearsal=self.rehearsal)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env=known, cwd=ROOT, start_new_session=True, **pipes)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)  # what a test has started, too: it would hold memory of the GPU
            process.communicate()
            raise NotDone(f"ended after {seconds:.0f} s: no time was left") from error
        return subprocess.CompletedProcess(command, process.returncode, out, err)


def _row_of_way(way: Way, found: dict[str, Any]) -> Row:
    """A row by what the process said of a way."""
    if "failed" in found:
        return Row(way.name, f"FAILED: {' '.join(found['failed'].split())[-_SHOWN:]}", failed=True)
    return Row(way.name, "measured", way=way, figures=found["figures"])


def _row_of(case: ET.Element) -> Row:
    """A test's row by pytest's JUnit report."""
    name = f"{case.get('name', '')}".removeprefix("test_").replace("_", " ")
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            why = (found.get("message") or "").strip().partition("\n")[0][:_SHOWN]
            return Row(name, f"{'skipped' if kind == 'skipped' else 'FAILED'}: {why}", failed=kind != "skipped")
    return Row(name, f"passed in {float(case.get('time') or 0):.0f} s")
