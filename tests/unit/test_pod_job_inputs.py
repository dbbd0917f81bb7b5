"""The run file: what a pod is told to do, and what it says of a file that tells it nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api import pod
from finetune_api.base import SecretReference
from finetune_api.failures import JobFailure, ManifestUnreadable, NotBuiltYet, SpecInvalid
from finetune_api.run_file import Mode
from finetune_trainer import __version__
from finetune_trainer.pod.job_inputs import LARGEST, job_of, named_secrets, read_order, uid_in

RUN: dict[str, Any] = {
    "format": "finetune.dev/run/v1",
    "mode": "Validate",
    "job": {"name": "tickets", "namespace": "team-a", "uid": "6f1c"},
    "spec": {
        "task": "SequenceClassification",
        "model": {"uri": "hf://a/b", "secretRef": {"name": "hub"}},
        "data": {
            "train": [{"uri": "s3://b/x.csv", "secretRef": {"name": "s3"}}],
            "test": [{"uri": "s3://b/y.csv", "secretRef": {"name": "s3"}}],
        },
        "output": {"uri": "s3://b/out", "secretRef": {"name": "out"}},
    },
    "stores": {"settings": {"AWS_REGION": "eu-north-1"}, "endpointsFromSecrets": True, "fileRoots": ["/models"]},
}


def written(tmp_path: Path, content: str | bytes | dict[str, Any]) -> Path:
    text = json.dumps(content) if isinstance(content, dict) else content
    (tmp_path / "run.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path / "run.json"


def test_an_order_becomes_a_job(tmp_path: Path) -> None:
    order = read_order(written(tmp_path, RUN))
    assert (order.mode, order.stores.file_roots) == (Mode.VALIDATE, ["/models"])
    job = job_of(order)
    assert (job.metadata.name, job.metadata.namespace, job.metadata.uid) == ("tickets", "team-a", "6f1c")
    assert job.spec == order.spec
    assert named_secrets(order.spec) == [SecretReference(name=name) for name in ("hub", "s3", "out")]


def changed(path: str, value: Any) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(json.dumps(RUN))
    *above, name = path.split(".")
    node = run
    for part in above:
        node = node[part]
    node[name] = value
    return run


@pytest.mark.causes("ManifestUnreadable")
@pytest.mark.causes("SpecInvalid")
@pytest.mark.causes("NotBuiltYet")
@pytest.mark.parametrize(
    ("content", "failure", "where"),
    [
        ("", ManifestUnreadable, ""),
        (b"\xff\xfe\xfd", ManifestUnreadable, ""),
        (" " * LARGEST + "{}", ManifestUnreadable, ""),
        ("{not json", SpecInvalid, ""),
        (changed("format", "finetune.dev/run/v2"), SpecInvalid, "format"),
        (changed("job.uid", 7), SpecInvalid, "job.uid"),
        (changed("spec.image", "evil"), SpecInvalid, "spec.image"),
        (changed("spec.model.uri", "pvc://a/../b"), SpecInvalid, "spec.model.uri"),
        (changed("stores.settings", {"PATH": "/evil"}), SpecInvalid, "stores.settings"),
        (changed("spec.evaluation", {"metric": "nope"}), SpecInvalid, "spec.evaluation.metric"),
        (changed("spec.compute", {"nodes": 2}), NotBuiltYet, "spec.compute.nodes"),
    ],
)
def test_a_broken_order_says_where(
    tmp_path: Path, content: str | bytes | dict[str, Any], failure: type[JobFailure], where: str
) -> None:
    with pytest.raises(failure) as caught:
        read_order(written(tmp_path, content))
    assert caught.value.problems[0].where.startswith(where)
    assert caught.value.problems[0].hint
    assert int(caught.value.exit_code) == 64


@pytest.mark.causes("ManifestUnreadable")
def test_no_order_at_all(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="No such file"):
        read_order(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("content", "uid"),
    [
        (changed("spec", {}), "6f1c"),
        (changed("job.uid", "x" * 1000), "x" * 128),
        (changed("job", None), ""),
        ("[]", ""),
        ("{", ""),
        (changed("job.uid", 7), ""),
    ],
)
def test_a_broken_order_may_still_tell_whose_it_is(tmp_path: Path, content: str | dict[str, Any], uid: str) -> None:
    assert uid_in(written(tmp_path, content)) == uid


def test_the_order_tells_how_long_a_stop_may_take(tmp_path: Path) -> None:
    assert read_order(written(tmp_path, changed("graceSeconds", 300))).grace_seconds == 300
    with pytest.raises(SpecInvalid, match="graceSeconds"):
        read_order(written(tmp_path, changed("graceSeconds", 0)))


def test_secrets_of_rows_to_predict_and_of_an_old_skill_are_named_too(tmp_path: Path) -> None:
    order = changed("spec.predict", {"input": "s3://new/rows.csv", "secretRef": {"name": "for-new"}})
    skill = {"uri": "s3://old/rows.csv", "secretRef": {"name": "for-old"}}
    order["spec"]["evaluation"] = {"retention": {"data": [skill]}}
    names = {secret.name for secret in named_secrets(read_order(written(tmp_path, order)).spec)}
    assert {"for-new", "for-old"} <= names


def test_a_field_that_a_newer_operator_has_written_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = written(tmp_path, changed("spec.training", {"epochs": 1, "sequenceParallel": "Auto"}))
    (tmp_path / pod.WRITER.name).write_text("9.1.0")
    with pytest.raises(SpecInvalid) as caught:
        read_order(path)
    (problem,) = caught.value.problems
    assert problem.where == "spec.training.sequenceParallel"
    assert f"trainer {__version__} does not know this field, which operator 9.1.0 has written" in problem.message
    assert "trainer.image" in problem.hint


@pytest.mark.parametrize("name", ["train", "check", "lora"])
def test_a_run_file_of_the_first_operator_is_carried_out(tmp_path: Path, name: str) -> None:
    first = Path(__file__).parents[1] / "data" / "first_version" / "run_files.json"
    order = read_order(written(tmp_path, json.loads(first.read_text())[name]))
    assert order.spec.output.uri == "s3://models/movies"
