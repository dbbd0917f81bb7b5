import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from finetune_api.failures import ModelNotFound, UnsafeModel
from finetune_api.model import ModelSource
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.storage import Site

Make = Callable[..., Path]


def test_a_local_folder_is_used_where_it_is(tiny_model: Make, tmp_path: Path) -> None:
    shutil.copytree(tiny_model("bert"), tmp_path / "models" / "mine")
    files = fetch_model(ModelSource(uri="file://./models/mine"), Site(tmp_path))
    assert files.folder == tmp_path / "models" / "mine"
    assert (files.uri, files.revision) == ("file://./models/mine", "")


def test_the_digest_is_of_the_weights(tiny_model: Make, tmp_path: Path) -> None:
    first = fetch_model(ModelSource(uri=tiny_model("bert").as_uri()), Site(tmp_path))
    copy = tmp_path / "copy"
    shutil.copytree(first.folder, copy)
    (copy / "README.md").write_text("another name")
    same = fetch_model(ModelSource(uri=copy.as_uri()), Site(tmp_path))
    assert first.digest() == same.digest()
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert first.digest() == same.digest(), "the weights are read once"
    assert first.digest() != replace(same).digest()


@pytest.mark.causes("ModelNotFound")
def test_a_folder_that_holds_no_model(tmp_path: Path) -> None:
    for folder in ("empty", "gone"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(ModelNotFound, match=r"no config\.json") as caught:
            fetch_model(ModelSource(uri=f"file://./{folder}"), Site(tmp_path))
        assert caught.value.problems[0].where == "spec.model.uri"
        assert "*.safetensors" in caught.value.problems[0].hint


@pytest.mark.causes("ModelNotFound")
def test_a_model_one_folder_further_down(tiny_model: Make, tmp_path: Path) -> None:
    """The output of a run is such a folder."""
    shutil.copytree(tiny_model("bert"), tmp_path / "run" / "model")
    with pytest.raises(ModelNotFound) as caught:
        fetch_model(ModelSource(uri="file://./run"), Site(tmp_path))
    assert "there is one in model/: add that to the uri" in caught.value.problems[0].hint


@pytest.mark.causes("UnsafeModel")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    torch.save({}, tmp_path / name)
    with pytest.raises(UnsafeModel, match="pickled weights only") as caught:
        fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path))
    assert "save_pretrained" in caught.value.problems[0].hint


@pytest.mark.causes("ModelNotFound")
def test_no_weights_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match=r"no \*\.safetensors"):
        fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path))


@pytest.mark.causes("ModelNotFound")
@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "merge it into its base"),
        (["tiny.Q4_K_M.gguf"], "GGUF is for inference"),
    ],
)
def test_what_a_folder_holds_in_place_of_a_model(tmp_path: Path, names: list[str], hint: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelNotFound, match=r"no config\.json") as caught:
        fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path))
    assert hint in caught.value.problems[0].hint


@pytest.mark.causes("ModelNotFound")
def test_weights_of_which_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for number in (1, 3):
        (tmp_path / f"model-{number:05}-of-00003.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelNotFound, match=r"lacks model-00002-of-00003\.safetensors, one of 3 files"):
        fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path), weights=False)
    (tmp_path / "model-00002-of-00003.safetensors").write_bytes(b"weights")
    assert fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path), weights=False).folder == tmp_path


@pytest.mark.causes("ModelNotFound")
def test_weights_that_were_never_downloaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelNotFound, match=r"model\.safetensors is a Git LFS pointer") as caught:
        fetch_model(ModelSource(uri=tmp_path.as_uri()), Site(tmp_path))
    assert "git lfs pull" in caught.value.problems[0].hint
