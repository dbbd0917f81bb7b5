"""`finetune-trainer pod` as a pod's container runs it: a process of its own, its folders below one that a test owns."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from finetune_api import pod
from finetune_api.live import Live
from finetune_api.manifest import Manifest
from finetune_api.outcome import Outcome
from finetune_api.report import Report
from finetune_api.status import Phase
from finetune_api.termination import Termination

if TYPE_CHECKING:
    from s3_server import S3Server

CANARY = "canary-7f3a-never-show-me"
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
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    def at(self, place: Any) -> Path:
        return self.root / place.relative_to("/")

    def order(self, mode: str = "Train", **blocks: Any) -> None:
        """Write the run file; blocks are merged over the spec."""
        spec = {name: {**self.spec.get(name, {}), **blocks.get(name, {})} for name in {**self.spec, **blocks}}
        job = {"name": "tickets", "namespace": "team-a", "uid": self.uid}
        run = {"mode": mode, "job": job, "spec": {"task": "SequenceClassification", **spec}, "stores": self.stores}
        self.at(pod.RUN_FILE).write_text(json.dumps(run))

    def secret(self, name: str, **keys: str) -> None:
        for key, value in keys.items():
            file = self.at(pod.SECRETS) / name / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value)

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "finetune_trainer", "pod", "--root", str(self.root), "--port", "0"]
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        process = subprocess.Popen(
            command, text=True, stderr=subprocess.PIPE, env={**kept, "OMP_NUM_THREADS": "1", "HOME": str(self.root)}
        )
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


@pytest.fixture
def pod_files(tmp_path: Path, tiny_model: Callable[..., Path]) -> Iterator[Pod]:
    """A pod with a model in a claim, rows in a ConfigMap and a claim for results."""
    pod_files = Pod(
        tmp_path / "root",
        {
            "model": {"uri": "pvc://models/tiny"},
            "data": {"train": [{"uri": "configmap://tickets/train.csv"}], "clean": {"dropDuplicates": False}},
            "method": {"type": "Full"},
            "training": {"epochs": 2, "learningRate": 0.003, "batchSize": 16},
            "output": {"uri": "pvc://results/team-a"},
        },
    )
    rows = pod_files.at(pod.CONFIG_MAPS) / "tickets" / "train.csv"
    folders = (pod_files.at(pod.CLAIMS) / "models", pod_files.at(pod.CLAIMS) / "results", rows.parent)
    for folder in (*folders, *(pod_files.at(path) for path in (pod.RUN_FILE.parent, pod.WORK))):
        folder.mkdir(parents=True)
    (pod_files.root / "dev").mkdir()
    rows.write_text(ROWS)
    shutil.copytree(tiny_model("bert"), folders[0] / "tiny")
    yield pod_files
    for process in pod_files.started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def results(pod_files: Pod) -> Path:
    return pod_files.at(pod.CLAIMS) / "results/team-a/tickets" / pod_files.uid


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


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
    pod_files.order(training={"epochs": 10_000, "earlyStopping": {"patience": 0}}, evaluation={"everySteps": 5})


def test_a_run_from_volumes_to_a_volume_and_once_more(pod_files: Pod) -> None:
    pod_files.order()
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    told, folder = ended.told, results(pod_files)
    assert (told.uid, told.attempt, told.outcome, told.data) == (
        "6f1c",
        1,
        Outcome.SUCCEEDED,
        "28 train, 4 validation and 4 test rows",
    )
    assert told.steps == 4
    assert told.artifacts.model == "pvc://results/team-a/tickets/6f1c/model"
    assert told.artifacts.report == "pvc://results/team-a/tickets/6f1c/report/index.html"
    manifest = Manifest.model_validate_json((folder / "MANIFEST.json").read_text())
    report = Report.model_validate_json((folder / "report/report.json").read_text())
    assert told.evaluation == report.evaluation
    assert report.timings.keys() >= {"data", "model", "training", "export"}
    assert manifest.uid == "6f1c"
    assert str(pod_files.root) not in ended.log
    assert str(pod_files.root) not in "".join(path.read_text() for path in folder.rglob("*.json"))

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = pod_files.run()
    assert (again.code, again.told) == (0, told.model_copy(update={"attempt": 0}))
    assert "an earlier attempt has finished this job" in again.log
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    pod_files.order(training={"epochs": 1})
    assert "another job or spec" in pod_files.run().failed("OutputExists", 73)


def test_a_missed_gate(pod_files: Pod) -> None:
    pod_files.order(evaluation={"gates": [{"metric": "evalLoss", "max": 0.0001}]})
    ended = pod_files.run()
    assert (ended.code, ended.told.outcome, ended.told.failure) == (86, Outcome.GATE_FAILED, None)
    assert ended.told.evaluation is not None
    assert [gate.passed for gate in ended.told.evaluation.gates] == [False]
    assert ended.told.artifacts.digest
    assert pod_files.run().code == 86, "and it stays missed"


def test_progress_and_metrics_while_it_trains_and_a_stop(pod_files: Pod) -> None:
    endless(pod_files)
    process = pod_files.start()
    said = until(process, "validation at step 5")
    live = Live.model_validate_json(asked(process, pod.PROGRESS_PATH))
    assert (live.uid, live.attempt, live.phase) == ("6f1c", 1, Phase.TRAINING)
    assert live.progress is not None
    assert live.progress.step >= 5
    assert live.measured is not None
    metrics = asked(process, pod.METRICS_PATH)
    assert 'finetune_train_loss{name="tickets",namespace="team-a"}' in metrics
    assert 'finetune_phase{name="tickets",namespace="team-a",phase="Training"} 1.0' in metrics
    assert asked(process, "/healthz") == "ok\n"
    process.send_signal(signal.SIGTERM)
    stopped = time.monotonic()
    ended = pod_files.end(process, said)
    assert time.monotonic() - stopped < 20
    ended.failed("Interrupted", 130)
    assert (ended.told.outcome, ended.told.attempt) == (Outcome.STOPPED, 1)
    assert ended.told.steps >= 5
    assert files_of(results(pod_files)) == {"claims/1", "report/report.json", "report/index.html"}
    assert ended.told.artifacts.report


@pytest.mark.causes("Interrupted")
def test_a_stop_before_the_run_is_under_way(pod_files: Pod) -> None:
    pod_files.order()
    process = pod_files.start()
    said = until(process, "Train team-a/tickets")
    process.send_signal(signal.SIGTERM)
    ended = pod_files.end(process, said)
    ended.failed("Interrupted", 130)
    assert ended.told.uid == "6f1c"


@pytest.mark.causes("Fenced")
def test_an_older_attempt_is_fenced(pod_files: Pod) -> None:
    """Two processes at the same output: the older one is held up until the newer one has finished."""
    pod_files.order(training={"epochs": 40, "earlyStopping": {"patience": 0}})
    older = pod_files.start()
    said = until(older, "[Training]")
    older.send_signal(signal.SIGSTOP)
    newer = pod_files.run()
    assert (newer.code, newer.told.attempt) == (0, 2), newer.log
    before = {path: path.read_bytes() for path in results(pod_files).rglob("*") if path.is_file()}
    older.send_signal(signal.SIGCONT)
    ended = pod_files.end(older, said)
    assert "attempt 2 has taken over" in ended.failed("Fenced", 78)
    assert (ended.told.attempt, ended.told.artifacts.digest) == (1, "")
    assert {path: path.read_bytes() for path in results(pod_files).rglob("*") if path.is_file()} == before


def test_what_a_killed_attempt_left_is_written_over(pod_files: Pod) -> None:
    endless(pod_files)
    process = pod_files.start()
    until(process, "validation at step 5")
    process.kill()
    process.wait()
    (results(pod_files) / "model").mkdir()
    (results(pod_files) / "model/config.json").write_text("half")
    pod_files.order()
    ended = pod_files.run()
    assert (ended.code, ended.told.attempt) == (0, 2), ended.log
    assert files_of(results(pod_files)) >= {"claims/1", "claims/2", "MANIFEST.json"}


def test_what_is_checked_before_a_gpu_is_taken(pod_files: Pod) -> None:
    pod_files.order("Validate")
    ended = pod_files.run()
    assert (ended.code, ended.told.outcome, ended.told.attempt) == (0, Outcome.SUCCEEDED, 0), ended.log
    assert ended.told.data == "28 train, 4 validation and 4 test rows"
    assert ended.told.resolved is not None
    assert not results(pod_files).exists(), "nothing is written"
    weights = pod_files.at(pod.CLAIMS) / "models/tiny/model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    pod_files.run().failed("UnsafeModel", 77)
    weights.with_name("pytorch_model.bin").rename(weights)
    config = weights.with_name("config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "clip"}))
    assert "spec.model.uri" in pod_files.run().failed("ModelUnsuitable", 64)


@pytest.mark.parametrize("mode", ["Validate", "Train"])
@pytest.mark.parametrize(
    ("blocks", "code", "exit_code", "words"),
    [
        ({"model": {"uri": "pvc://models/other"}}, "ModelNotFound", 66, "pvc://models has tiny"),
        ({"data": {"train": [{"uri": "configmap://tickets/x.csv"}]}}, "DataNotFound", 66, "tickets has train.csv"),
        ({"data": {"columns": {"label": "topic"}}}, "ColumnMissing", 65, "topic"),
        ({"data": {"maxLength": 4096}}, "ModelUnsuitable", 64, "spec.data.maxLength"),
        ({"output": {"uri": "file:///scratch/out"}}, "SpecInvalid", 64, "would be lost"),
    ],
)
def test_what_can_not_work_says_so(
    pod_files: Pod, mode: str, blocks: dict[str, Any], code: str, exit_code: int, words: str
) -> None:
    pod_files.order(mode, **blocks)
    ended = pod_files.run()
    assert words in ended.failed(code, exit_code)
    assert ended.told.uid == "6f1c"


@pytest.mark.causes("ManifestUnreadable")
def test_no_order(pod_files: Pod) -> None:
    ended = pod_files.run()
    assert "run.json can't be read" in ended.failed("ManifestUnreadable", 64)
    pod_files.order()
    run = json.loads(pod_files.at(pod.RUN_FILE).read_text())
    pod_files.at(pod.RUN_FILE).write_text(json.dumps({**run, "image": "evil"}))
    ended = pod_files.run()
    ended.failed("SpecInvalid", 64)
    assert ended.told.uid == "6f1c", "enough of it can be read to say whose message it is"


@pytest.fixture
def s3_pod(pod_files: Pod, s3: "S3Server") -> Pod:
    """The same with rows and results in S3, and the keys in a mounted Secret."""
    rows = s3.bucket("pod-rows")
    (rows / "train.csv").write_text(ROWS)
    s3.bucket("pod-results")
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    pod_files.secret("store-keys", **keys, AWS_ENDPOINT_URL="http://127.0.0.1:1/evil", notes=CANARY)
    pod_files.stores = {"settings": {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": "us-east-1"}}
    secret = {"secretRef": {"name": "store-keys"}}
    pod_files.spec["data"]["train"] = [{"uri": "s3://pod-rows/train.csv", **secret}]
    pod_files.spec["output"] = {"uri": "s3://pod-results/team-a", **secret}
    pod_files.uid = pod_files.root.parent.name.lower().replace("_", "-")[-40:].strip("-")
    return pod_files


def test_a_run_from_s3_to_s3_with_a_secret(s3_pod: Pod, s3: "S3Server") -> None:
    s3_pod.order()
    ended = s3_pod.run()
    assert ended.code == 0, ended.log
    folder = s3.root / "pod-results/team-a/tickets" / s3_pod.uid
    assert ended.told.artifacts.model == f"s3://pod-results/team-a/tickets/{s3_pod.uid}/model"
    assert (folder / "MANIFEST.json").is_file()
    assert "AWS_ENDPOINT_URL of the Secret store-keys: ignored" in ended.log
    written = "".join(path.read_text(errors="replace") for path in folder.rglob("*.[jhm]*") if path.is_file())
    for secret in (s3.secret_key, s3.access_key, CANARY):
        assert secret not in ended.log + ended.told.encode() + written
    again = s3_pod.run()
    assert (again.code, again.told.artifacts) == (0, ended.told.artifacts)


@pytest.mark.causes("PermissionDenied")
@pytest.mark.parametrize("mode", ["Validate", "Train"])
@pytest.mark.parametrize("trouble", ["wrong", "half", "missing"])
def test_a_secret_that_does_not_do(s3_pod: Pod, mode: str, trouble: str) -> None:
    folder = s3_pod.at(pod.SECRETS) / "store-keys"
    (folder / "AWS_SECRET_ACCESS_KEY").write_text(CANARY)
    for file in folder.iterdir() if trouble == "missing" else ():
        file.unlink()
    if trouble == "half":
        (folder / "AWS_ACCESS_KEY_ID").unlink()
    s3_pod.order(mode)
    ended = s3_pod.run()
    words = ended.failed("PermissionDenied", 77)
    expected = "check the credentials" if trouble == "wrong" else "kubectl -n team-a create secret generic store-keys"
    assert expected in words
    assert CANARY not in ended.log + ended.told.encode()


@pytest.mark.causes("OutputNotWritable")
def test_a_bucket_that_is_not_there(s3_pod: Pod) -> None:
    s3_pod.spec["output"]["uri"] = "s3://no-such-bucket/x"
    s3_pod.order("Validate")
    assert "there is no such bucket" in s3_pod.run().failed("OutputNotWritable", 73)
