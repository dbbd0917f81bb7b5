"""A pod that continues the checkpoints that another job has left in S3: the same curve and weights as in one go."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from pod_process import Ended, Pod, until
from s3_server import S3Server
from safetensors.torch import load_file

from finetune_api import pod
from finetune_api.manifest import Manifest
from finetune_api.report import Report

TRAINING = {"maxSteps": 40, "batchSize": 4, "earlyStopping": {"patience": 0}}
KEYS = {"secretRef": {"name": "keys"}}


@pytest.fixture
def bucket(s3: S3Server, pod_files: Pod, tmp_path: Path) -> Path:
    """A bucket that the pods write to, with the keys in a Secret."""
    made = s3.bucket(f"resumed-{tmp_path.name.replace('_', '-')[-20:]}x")
    keys = {name: s3.credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    pod_files.secret("keys", **keys)
    pod_files.stores = {"settings": {name: value for name, value in s3.credentials.items() if name not in keys}}
    return made


def ordered(pod_files: Pod, uid: str, bucket: Path, *, old: str = "", mode: str = "Train", **blocks: Any) -> Pod:
    """The order of a job with that UID; where `old` is one, it continues that one, named as in a cluster."""
    pod_files.uid = uid
    spec = {
        "method": {"type": "LoRA", "lora": {"dropout": 0.2}},
        "training": TRAINING,
        "evaluation": {"evalSteps": 10},
        "checkpoints": {"saveSteps": 4, **({"resumeFrom": {"uri": "finetunejob://old"}} if old else {})},
        "output": {"uri": f"s3://{bucket.name}/models", **KEYS},
    }
    pod_files.order(mode, **spec, **blocks)
    if old:
        parent = {"name": "old", "uid": old, "output": f"s3://{bucket.name}/models/tickets/{old}", "digest": "", **KEYS}
        file = pod_files.at(pod.RUN_FILE)
        file.write_text(json.dumps(json.loads(file.read_text()) | {"parents": [parent]}))
    return pod_files


def stopped(pod_files: Pod) -> Ended:
    """How a pod ends that is asked to, once a checkpoint is committed."""
    process = pod_files.start()
    said = until(process, ") committed")
    process.send_signal(signal.SIGTERM)
    return pod_files.end(process, said)


def result(bucket: Path, uid: str) -> tuple[Report, dict[str, bytes]]:
    folder = bucket / "models/tickets" / uid
    weights = load_file(folder / "model/adapter_model.safetensors")
    report = Report.model_validate_json((folder / "report/report.json").read_bytes())
    return report, {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_new_job_ends_as_one_that_was_never_stopped(pod_files: Pod, bucket: Path) -> None:
    ended = ordered(pod_files, "whole", bucket).run()
    assert ended.code == 0, ended.log
    ended = stopped(ordered(pod_files, "first", bucket))
    ended.failed("Stopped", 85)
    step, before = ended.told.steps, content(bucket / "models/tickets/first")
    assert 0 < step < TRAINING["maxSteps"]  # type: ignore[operator]

    ended = ordered(pod_files, "second", bucket, old="first", mode="Validate").run()
    assert ended.code == 0, ended.log
    ended = ordered(pod_files, "second", bucket, old="first").run()
    assert ended.code == 0, ended.log
    assert (
        f"continues job tickets, uid first: s3://{bucket.name}/models/tickets/first/checkpoints/1/{step}" in ended.log
    )
    assert ended.told.resumed_from == step
    (report, weights), (whole, whole_weights) = result(bucket, "second"), result(bucket, "whole")
    assert (report.curves, report.evaluation, report.details) == (whole.curves, whole.evaluation, whole.details)
    assert weights == whole_weights
    assert content(bucket / "models/tickets/first") == before
    manifest = Manifest.model_validate_json((bucket / "models/tickets/second/MANIFEST.json").read_bytes())
    assert manifest.lineage.resumed_run is not None
    assert (manifest.lineage.resumed_run.uid, manifest.lineage.resumed_run.step) == ("first", step)


@pytest.mark.slow
def test_with_checkpoints_of_its_own_it_needs_the_other_run_no_more(pod_files: Pod) -> None:
    outputs = pod_files.at(pod.CLAIMS) / "disk/models"
    outputs.mkdir(parents=True)
    for uid, resumed in (("first", {}), ("second", {"resumeFrom": {"uri": "pvc://disk/models/tickets/first"}})):
        pod_files.uid = uid
        checkpoints = {"saveSteps": 4, **resumed}
        pod_files.order(training=TRAINING, checkpoints=checkpoints, output={"uri": "pvc://disk/models"})
        stopped(pod_files).failed("Stopped", 85)
    shutil.rmtree(outputs / "tickets/first")
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    manifest = Manifest.model_validate_json((outputs / "tickets/second/MANIFEST.json").read_bytes())
    assert manifest.lineage.resumed_run is not None
    assert manifest.lineage.resumed_run.uid == "first"


@pytest.mark.causes("CheckpointNotFound")
def test_a_check_without_a_gpu_tells_that_there_is_nothing_to_continue(pod_files: Pod, bucket: Path) -> None:
    words = ordered(pod_files, "second", bucket, old="first", mode="Validate").run().failed("CheckpointNotFound", 66)
    assert f"there is no checkpoint in s3://{bucket.name}/models/tickets/first" in words


@pytest.mark.causes("SpecInvalid")
def test_a_check_without_a_gpu_names_the_fields_that_differ(pod_files: Pod, bucket: Path) -> None:
    stopped(ordered(pod_files, "first", bucket)).failed("Stopped", 85)
    ordered(pod_files, "second", bucket, old="first", mode="Validate", data={"maxLength": 16})
    words = pod_files.run().failed("SpecInvalid", 64)
    assert "spec.data.maxLength: 16, and the run to resume has" in words
