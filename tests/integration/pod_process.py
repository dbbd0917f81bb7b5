"""A pod's file system in a folder of a test, and `finetune-trainer pod` as a process in it."""

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import minder

from finetune_api import pod
from finetune_api.termination import Termination

VERDICTS = {"was a joy": "praise", "broke on the first day": "complaint", "is fine": "neither"}
ROWS = "text,label\n" + "".join(
    f"{start} {thing} {verdict} {end}.,{label}\n"
    for start, thing, end in product(("The", "Our"), ("printer", "window", "invoice"), ("at home", "in the office"))
    for verdict, label in VERDICTS.items()
)


@dataclass
class Pod:
    """The file system of a pod."""

    root: Path
    spec: dict[str, Any]
    stores: dict[str, Any] = field(default_factory=dict)
    uid: str = "6f1c"
    grace_seconds: int | None = None
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def at(self, place: Any) -> Path:
        return self.root / place.relative_to("/")

    def order(self, mode: str = "Train", **blocks: Any) -> None:
        """Write the run file; blocks are merged over the spec."""
        spec = {name: {**self.spec.get(name, {}), **blocks.get(name, {})} for name in {**self.spec, **blocks}}
        job = {"name": "tickets", "namespace": "team-a", "uid": self.uid}
        run = {"mode": mode, "job": job, "spec": {"task": "SequenceClassification", **spec}, "stores": self.stores}
        run |= {"graceSeconds": self.grace_seconds} if self.grace_seconds else {}
        self.at(pod.RUN_FILE).write_text(json.dumps(run))

    def secret(self, name: str, **keys: str) -> None:
        for key, value in keys.items():
            file = self.at(pod.SECRETS) / name / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value)

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "finetune_trainer", "pod", "--root", str(self.root), "--port", "0"]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        minder.get_ready()
        process = subprocess.Popen(
            command, text=True, stderr=subprocess.PIPE, env={**kept, "OMP_NUM_THREADS": "1", "HOME": str(self.root)}
        )
        minder.entrust(process.pid)
        self.started.append(process)
        return process

    def run(self) -> "Ended":
        return self.end(self.start())

    def end(self, process: "subprocess.Popen[str]", said: str = "") -> "Ended":
        _, log = process.communicate(timeout=240)
        message = self.at(pod.TERMINATION_MESSAGE)
        return Ended(
            process.returncode, said + log, Termination.decode(message.read_text()) if message.exists() else None
        )


@dataclass(frozen=True)
class Ended:
    code: int
    log: str
    message: Termination | None

    @property
    def told(self) -> Termination:
        assert self.message is not None, self.log
        return self.message

    def failed(self, code: str, exit_code: int) -> str:
        """Check how it failed; return the words."""
        assert (self.code, self.told.failure and self.told.failure.code) == (exit_code, code), self.log
        assert self.told.failure is not None
        assert f"{code} (exit code {exit_code}" in self.log
        return f"{self.told.failure.message}\n{self.told.failure.hint}"


def results(pod_files: Pod) -> Path:
    return pod_files.at(pod.CLAIMS) / "results/team-a/tickets" / pod_files.uid


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def finished(pod_files: Pod) -> dict[Path, bytes]:
    """All files that count: of the first attempt's checkpoints, which it may have been at, manifests alone."""
    folder = results(pod_files)
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    theirs = [path for path in files if path.parts[:2] == ("checkpoints", "1") and path.name != "MANIFEST.json"]
    return {path: file.read_bytes() for path, file in files.items() if path not in theirs}


def asked(process: "subprocess.Popen[str]", path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.port}{path}", timeout=5) as answer:  # type: ignore[attr-defined]
        return str(answer.read(), "utf-8")


def until(process: "subprocess.Popen[str]", word: str) -> str:
    """Read the log up to a line with `word`; notes the port on the way."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if "served on port" in line:
            process.port = int(line.rpartition(" ")[2])  # type: ignore[attr-defined]
        if word in line:
            return said
    raise AssertionError(said)


def endless(pod_files: Pod) -> None:
    pod_files.order(training={"epochs": 10_000, "earlyStopping": {"patience": 0}}, evaluation={"evalSteps": 5})
