"""A merge in a pod: one source on a claim, the other in S3 with a Secret of its own."""

import json
import shutil
from pathlib import Path

import pytest
from pod_process import Pod, results
from s3_server import S3Server

from finetune_api import pod
from finetune_api.manifest import Manifest

READER = "reader-of-results"


def order_merge(pod_files: Pod, second: str, uid: str, mode: str = "Train", **secret: object) -> None:
    """Write the run file of a job that merges the first run with the one at `second`."""
    pod_files.uid = uid
    sources = [{"uri": "pvc://results/team-a/tickets/6f1c"}, {"uri": second, "weight": 3, **secret}]
    pod_files.order(mode, method={"type": "Merge", "merge": {"sources": sources}})
    file = pod_files.at(pod.RUN_FILE)
    run = json.loads(file.read_text())
    run["spec"] |= {"training": {}, "evaluation": {}}
    file.write_text(json.dumps(run))


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

    order_merge(pod_files, second, "8b3e", "Validate")
    words = pod_files.run().failed("PermissionDenied", 77)
    assert "spec.method.merge.sources[1]" in words

    for mode in ("Validate", "Train"):
        order_merge(pod_files, second, "9c4f", mode, secretRef={"name": READER})
        ended = pod_files.run()
        assert ended.code == 0, ended.log
    manifest = Manifest.model_validate_json((results(pod_files) / "MANIFEST.json").read_text())
    assert [(merged.uri, merged.uid, merged.share) for merged in manifest.lineage.merged] == [
        ("pvc://results/team-a/tickets/6f1c", "6f1c", 0.25),
        (second, "7a2d", 0.75),
    ]
    adapter = json.loads((results(pod_files) / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "pvc://models/tiny"
