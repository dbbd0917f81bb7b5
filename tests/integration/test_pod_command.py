"""`finetune-trainer pod` as a pod's container runs it: a process of its own, its folders below one that a test owns."""

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from pod_process import ROWS, Pod, asked, endless, files_of, finished, results, until

from finetune_api import pod
from finetune_api.live import Live
from finetune_api.manifest import Manifest
from finetune_api.outcome import Outcome
from finetune_api.report import Report
from finetune_api.status import Phase

if TYPE_CHECKING:
    from s3_server import S3Server

CANARY = "canary-7f3a-never-show-me"


@pytest.mark.slow
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
    assert (again.code, again.told) == (0, told.model_copy(update={"attempt": 0, "checkpoint": None}))
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
    assert "is safe in a checkpoint" in ended.failed("Stopped", 85)
    assert (ended.told.outcome, ended.told.attempt) == (Outcome.STOPPED, 1)
    assert ended.told.steps >= 5
    assert ended.told.checkpoint is not None
    assert ended.told.checkpoint.step == ended.told.steps
    assert ended.told.artifacts.report
    assert "MANIFEST.json" not in files_of(results(pod_files))


@pytest.mark.causes("Interrupted")
def test_a_stop_before_the_run_is_under_way(pod_files: Pod) -> None:
    pod_files.order()
    process = pod_files.start()
    said = until(process, "Train team-a/tickets")
    process.send_signal(signal.SIGTERM)
    ended = pod_files.end(process, said)
    ended.failed("Interrupted", 130)
    assert ended.told.uid == "6f1c"


@pytest.mark.slow
@pytest.mark.causes("Fenced")
def test_an_older_attempt_is_fenced(pod_files: Pod) -> None:
    """Two processes at the same output: the older one is held up until the newer one has finished."""
    pod_files.order(training={"epochs": 40, "earlyStopping": {"patience": 0}})
    older = pod_files.start()
    said = until(older, "[Training]")
    older.send_signal(signal.SIGSTOP)
    newer = pod_files.run()
    assert (newer.code, newer.told.attempt) == (0, 2), newer.log
    before = finished(pod_files)
    older.send_signal(signal.SIGCONT)
    ended = pod_files.end(older, said)
    assert "attempt 2 has taken over" in ended.failed("Fenced", 78)
    assert (ended.told.attempt, ended.told.artifacts.digest) == (1, "")
    assert finished(pod_files) == before


@pytest.mark.slow
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


@pytest.mark.parametrize("mode", ["Validate", pytest.param("Train", marks=pytest.mark.slow)])
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
@pytest.mark.parametrize("mode", ["Validate", pytest.param("Train", marks=pytest.mark.slow)])
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
