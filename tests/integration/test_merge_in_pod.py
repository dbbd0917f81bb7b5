"""A merge in a pod: one source on a claim, the other in S3 with a Secret of its own."""

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pod_process import Pod, results
from s3_server import S3Server

from finetune_api import pod
from finetune_api.manifest import Manifest
from finetune_api.parent import Parent

READER = "reader-of-results"


FIRST = "pvc://results/team-a/tickets/6f1c"


def order_merge(
    pod_files: Pod,
    first: str,
    second: str,
    uid: str,
    mode: str = "Train",
    parents: Sequence[Parent] = (),
    **secret: Any,
) -> None:
    """Write the run file of a job that merges two results."""
    pod_files.uid = uid
    sources = [{"uri": first}, {"uri": second, "weight": 3, **secret}]
    pod_files.order(mode, method={"type": "Merge", "merge": {"sources": sources}})
    file = pod_files.at(pod.RUN_FILE)
    run = json.loads(file.read_text())
    run["spec"] |= {"training": {}, "evaluation": {}}
    run["parents"] = [parent.model_dump(mode="json", by_alias=True) for parent in parents]
    file.write_text(json.dumps(run))


def parent(name: str, folder: Path, output: str, **facts: Any) -> Parent:
    """What the operator tells of a job whose output is there."""
    digest = f"sha256:{sha256((folder / 'MANIFEST.json').read_bytes()).hexdigest()}"
    return Parent.model_validate({"name": name, "uid": folder.name, "output": output, "digest": digest, **facts})


@pytest.mark.slow
@pytest.mark.causes("PermissionDenied")
def test_a_merge_of_a_claim_and_a_bucket(pod_files: Pod, s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.bucket(f"merges-{tmp_path.name.replace('_', '-')[-20:]}x")
    for uid in ("6f1c", "7a2d"):
        pod_files.uid = uid
        pod_files.order(method={"type": "LoRA"})
        ended = pod_files.run()
        assert ended.code == 0, ended.log
    shutil.move(results(pod_files), bucket / "tickets" / "7a2d")
    keys = {name: s3.credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    pod_files.secret(READER, **keys)
    pod_files.stores = {"settings": {name: value for name, value in s3.credentials.items() if name not in keys}}
    second = f"s3://{bucket.name}/tickets/7a2d"

    order_merge(pod_files, FIRST, second, "8b3e", "Validate")
    words = pod_files.run().failed("PermissionDenied", 77)
    assert "spec.method.merge.sources[1]" in words

    for mode in ("Validate", "Train"):
        order_merge(pod_files, FIRST, second, "9c4f", mode, secretRef={"name": READER})
        ended = pod_files.run()
        assert ended.code == 0, ended.log
    manifest = Manifest.model_validate_json((results(pod_files) / "MANIFEST.json").read_text())
    assert [(merged.uri, merged.uid, merged.share) for merged in manifest.lineage.merged] == [
        (FIRST, "6f1c", 0.25),
        (second, "7a2d", 0.75),
    ]
    adapter = json.loads((results(pod_files) / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "pvc://models/tiny"
    by_address = weights(pod_files)

    ours = parent("first", results(pod_files).with_name("6f1c"), FIRST)
    theirs = parent("second", bucket / "tickets" / "7a2d", second, secretRef={"name": READER})
    order_merge(pod_files, "finetunejob://first", "finetunejob://second", "ad50", parents=[theirs, ours])
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    manifest = Manifest.model_validate_json((results(pod_files) / "MANIFEST.json").read_text())
    assert [(merged.uri, merged.uid, merged.digest) for merged in manifest.lineage.merged] == [
        ("finetunejob://first", "6f1c", ours.digest),
        ("finetunejob://second", "7a2d", theirs.digest),
    ]
    assert weights(pod_files) == by_address, "the same two, however they are named"


@pytest.mark.causes("ModelChanged")
def test_another_result_than_the_operator_pinned(pod_files: Pod) -> None:
    pod_files.order(method={"type": "LoRA"})
    assert pod_files.run().code == 0
    pinned = parent("first", results(pod_files), FIRST)
    other = pinned.model_copy(update={"name": "second", "digest": f"sha256:{'0' * 64}"})
    order_merge(pod_files, "finetunejob://first", "finetunejob://second", "8b3e", "Validate", [pinned, other])
    words = pod_files.run().failed("ModelChanged", 66)
    assert "spec.method.merge.sources[1].uri" in words


def weights(pod_files: Pod) -> bytes:
    return (results(pod_files) / "model" / "adapter_model.safetensors").read_bytes()
