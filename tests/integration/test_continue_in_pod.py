"""`model.uri: finetunejob://name` in a pod: the parent's result from a claim and from S3, verified."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pod_process import Pod, results
from s3_server import S3Server

from finetune_api import pod
from finetune_api.base import SecretReference
from finetune_api.failures import ModelChanged, PermissionDenied
from finetune_api.manifest import Manifest
from finetune_api.model import ModelSource
from finetune_api.parent import Parent
from finetune_api.run_file import Stores
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.storage import Mounts, Site

LORA = {"method": {"type": "LoRA"}}


def order_child(pod_files: Pod, parent: dict[str, Any], uid: str) -> None:
    pod_files.uid = uid
    pod_files.order(model={"uri": "finetunejob://first"}, **LORA)
    file = pod_files.at(pod.RUN_FILE)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"parents": [parent]}))


def trained_parent(pod_files: Pod) -> tuple[Path, dict[str, Any]]:
    """The output folder of a job, and what its child is told of it."""
    pod_files.order(**LORA)
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    folder = results(pod_files)
    digest = hashlib.sha256((folder / "MANIFEST.json").read_bytes()).hexdigest()
    output = f"pvc://results/team-a/tickets/{pod_files.uid}"
    return folder, {"name": "first", "uid": pod_files.uid, "output": output, "digest": f"sha256:{digest}"}


@pytest.mark.slow
@pytest.mark.causes("ModelChanged")
def test_a_child_goes_on_from_its_parent_unless_that_was_changed(pod_files: Pod) -> None:
    folder, parent = trained_parent(pod_files)
    order_child(pod_files, parent, "7a2d")
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    lineage = Manifest.model_validate_json((results(pod_files) / "MANIFEST.json").read_text()).lineage
    assert (lineage.model_uri, lineage.parent_uid) == ("finetunejob://first", "6f1c")
    adapter = json.loads((results(pod_files) / "model" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == f"{parent['output']}/model"

    weights = folder / "model" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    order_child(pod_files, parent, "8b3e")
    words = pod_files.run().failed("ModelChanged", 66)
    assert "model/adapter_model.safetensors is missing, cut or changed" in words


@pytest.mark.causes("ModelChanged")
@pytest.mark.causes("PermissionDenied")
def test_a_parent_in_s3(pod_files: Pod, s3: S3Server, tmp_path: Path) -> None:
    folder, told = trained_parent(pod_files)
    bucket = s3.bucket(f"parents-{tmp_path.name.replace('_', '-')[-20:]}x")
    there = bucket / "first" / "6f1c"
    shutil.copytree(folder, there)
    keys = {name: s3.credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    pod_files.secret("parents-keys", **keys)
    parent = Parent.model_validate(told | {"output": f"s3://{bucket.name}/first/6f1c"})
    settings = {name: value for name, value in s3.credentials.items() if name not in keys}
    mounts, stores = Mounts.below(pod_files.root, "team-a"), Stores(settings=settings)
    source = ModelSource(uri="finetunejob://first")
    with pytest.raises(PermissionDenied):
        fetch_model(source, Site(tmp_path, mounts, stores, [parent]))

    opened = parent.model_copy(update={"secret_ref": SecretReference(name="parents-keys")})
    site = Site(tmp_path, mounts, stores, [opened])
    files = fetch_model(source, site)
    assert files.name == f"s3://{bucket.name}/first/6f1c/model"
    assert files.base is not None
    assert files.base.name == "pvc://models/tiny"
    copy = files.folder / "adapter_model.safetensors"
    content = copy.read_bytes()
    copy.write_bytes(content[:-1])
    assert fetch_model(source, site).folder == files.folder
    assert copy.read_bytes() == content, "damage to the cache is mended"

    (there / "model" / "adapter_model.safetensors").write_bytes(content[:-1] + b"\x7f")
    with pytest.raises(ModelChanged, match=r"adapter_model\.safetensors is missing, cut or changed"):
        fetch_model(source, site)


@pytest.mark.slow
@pytest.mark.causes("PermissionDenied")
def test_an_adapter_and_its_base_are_opened_with_different_secrets(
    pod_files: Pod, s3: S3Server, tmp_path: Path
) -> None:
    bucket = s3.bucket(f"bases-{tmp_path.name.replace('_', '-')[-20:]}x")
    shutil.copytree(pod_files.at(pod.CLAIMS) / "models" / "tiny", bucket / "tiny")
    keys = {name: s3.credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    pod_files.secret("keys-of-the-base", **keys)
    settings = {name: value for name, value in s3.credentials.items() if name not in keys}
    pod_files.stores = {"settings": settings}
    base = {"uri": f"s3://{bucket.name}/tiny/", "secretRef": {"name": "keys-of-the-base"}}
    pod_files.order(model=base, **LORA)
    ended = pod_files.run()
    assert ended.code == 0, ended.log
    digest = hashlib.sha256((results(pod_files) / "MANIFEST.json").read_bytes()).hexdigest()
    output = f"pvc://results/team-a/tickets/{pod_files.uid}"
    parent = Parent.model_validate({"name": "first", "uid": "6f1c", "output": output, "digest": f"sha256:{digest}"})
    mounts, stores = Mounts.below(pod_files.root, "team-a"), Stores(settings=settings)
    source = ModelSource(uri="finetunejob://first")
    with pytest.raises(PermissionDenied):
        fetch_model(source, Site(tmp_path, mounts, stores, [parent]))
    known = Parent.model_validate(parent.model_dump() | {"bases": [base]})
    files = fetch_model(source, Site(tmp_path, mounts, stores, [known]))
    assert files.base is not None
    assert files.base.name == f"s3://{bucket.name}/tiny"
