"""Going on from results: full -> LoRA, LoRA -> LoRA, LoRA -> Full, feature extraction -> Full, and what is refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_api.failures import ModelChanged, ModelNotFound, ModelUnsuitable, SpecInvalid
from finetune_api.manifest import Manifest
from finetune_api.model import ModelSource
from finetune_api.parent import Parent
from finetune_trainer.data.reading.input_files import InputFile
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.prediction.rows import predict_rows
from finetune_trainer.storage import Site

Cli = Callable[..., Any]
Job = Callable[..., str]
TRAINED = {"training": {"epochs": 4, "learningRate": 0.01}}
UNTRAINED = {"training": {"epochs": 1, "maxSteps": 1, "learningRate": 1e-9, "warmupRatio": 0}}


def run(cli: Cli, job: Job, name: str, method: str, model: str = "", **blocks: Any) -> Path:
    """The output folder of a job."""
    ended = cli("run", job(name, model=model, method={"type": method}, **(TRAINED | blocks)), "--json")
    assert ended.code == 0, ended.out[-2000:]
    folder: Path = ended.folder
    return folder


def first_losses(folder: Path) -> tuple[float, float]:
    """Validation loss before the first step, and of the best state."""
    report = json.loads((folder / "report" / "report.json").read_text())
    curve = [point["validation"]["evalLoss"] for point in report["curves"] if point.get("validation")]
    return curve[0], min(curve)


def predictions(folder: Path, data: Path, site: Site) -> list[dict[str, Any]]:
    return [prediction.as_dict() for prediction in predict_rows(folder.as_uri(), InputFile(data.as_uri()), site)]


def parent_of(folder: Path, **changes: str) -> Parent:
    digest = hashlib.sha256((folder / "MANIFEST.json").read_bytes()).hexdigest()
    values = {"name": "first", "uid": folder.name, "output": folder.as_uri(), "digest": f"sha256:{digest}"}
    return Parent.model_validate(values | changes)


def test_what_became_of_the_head_is_said(cli: Cli, job: Job, data: Path) -> None:
    parent = run(cli, job, "first", "Full", **UNTRAINED)
    ended = cli("run", job("second", model=parent.as_uri(), **UNTRAINED), "--json")
    assert "is for these labels: training continues from it" in ended.out
    data.write_text(data.read_text().replace(",praise", ",fame"))
    ended = cli("run", job("third", model=parent.as_uri(), **UNTRAINED), "--json")
    assert "is for other labels (complaint, neither, praise): a new one is trained" in ended.out


@pytest.mark.parametrize("first", ["Full", "LoRA", "FeatureExtraction"])
@pytest.mark.parametrize("second", ["Full", "LoRA", "FeatureExtraction"])
def test_training_goes_on_where_it_was(first: str, second: str, cli: Cli, job: Job, data: Path, tmp_path: Path) -> None:
    parent = run(cli, job, "first", first)
    child = run(cli, job, "second", second, parent.as_uri(), **UNTRAINED)
    _, reached = first_losses(parent)
    start, _ = first_losses(child)
    assert start == pytest.approx(reached, rel=1e-4)
    before, after = predictions(parent, data, Site(tmp_path)), predictions(child, data, Site(tmp_path))
    assert [row["label"] for row in before] == [row["label"] for row in after]
    lineage = Manifest.model_validate_json((child / "MANIFEST.json").read_text()).lineage
    assert lineage.parent_uid == parent.name


@pytest.mark.slow
def test_an_adapter_over_an_adapter_over_an_adapter(cli: Cli, job: Job, data: Path, tmp_path: Path) -> None:
    first = run(cli, job, "first", "LoRA")
    second = run(cli, job, "second", "LoRA", (first / "model").as_uri())
    third = run(cli, job, "third", "LoRA", second.as_uri(), **UNTRAINED)
    config = json.loads((third / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(second / "model")
    assert first_losses(third)[0] == pytest.approx(first_losses(second)[1], rel=1e-4)
    labels = [[row["label"] for row in predictions(folder, data, Site(tmp_path))] for folder in (second, third)]
    assert labels[0] == labels[1]


def test_a_merged_result_is_a_whole_model(cli: Cli, job: Job) -> None:
    first = run(cli, job, "first", "LoRA", output={"mergeAdapter": True})
    second = run(cli, job, "second", "Full", first.as_uri(), **UNTRAINED)
    assert first_losses(second)[0] == pytest.approx(first_losses(first)[1], rel=1e-4)


def test_other_labels_get_a_new_head(cli: Cli, job: Job, data: Path, tmp_path: Path) -> None:
    """As many labels, but others: the old head's answers would be taken for theirs."""
    from safetensors.torch import load_file

    parent = run(cli, job, "first", "Full")
    text = data.read_text()
    for old, new in (("praise", "z"), ("complaint", "y"), ("neither", "x")):
        text = text.replace(f",{old}\n", f",{new}\n")
    data.write_text(text)
    child = run(cli, job, "second", "Full", parent.as_uri(), **UNTRAINED)
    old, new = (load_file(folder / "model" / "model.safetensors") for folder in (parent, child))
    assert (old["classifier.weight"] - new["classifier.weight"]).abs().max() > 0.01
    name = "bert.encoder.layer.0.output.dense.weight"
    assert (old[name] - new[name]).abs().max() < 1e-6
    assert {row["label"] for row in predictions(child, data, Site(tmp_path))} <= {"x", "y", "z"}


def test_the_result_of_a_job_by_its_name(cli: Cli, job: Job, tmp_path: Path) -> None:
    folder = run(cli, job, "first", "LoRA")
    site = Site(tmp_path, parents=[parent_of(folder)])
    files = fetch_model(ModelSource(uri="finetunejob://first"), site)
    assert (files.folder, files.parent_uid, files.name) == (folder / "model", folder.name, str(folder / "model"))
    assert files.base is not None
    assert files.base.base is None
    same = fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path))
    assert files.digest() == same.digest() != files.base.digest()


@pytest.mark.causes("SpecInvalid")
def test_a_job_by_its_name_outside_of_clusters(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid, match="only its operator can find"):
        fetch_model(ModelSource(uri="finetunejob://first"), Site(tmp_path))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (lambda folder: _flip(folder / "model" / "model.safetensors"), "model.safetensors is missing, cut or"),
    "config": (lambda folder: _flip(folder / "model" / "config.json"), "config.json is missing, cut or changed"),
    "missing file": (lambda folder: (folder / "model" / "tokenizer.json").unlink(), "tokenizer.json is missing, cut"),
    "added file": (lambda folder: (folder / "model" / "more.json").write_text("{}"), "more.json is not in its manif"),
    "no manifest": (lambda folder: (folder / "MANIFEST.json").write_text("{}"), "MANIFEST.json can't be read"),
}


@pytest.mark.causes("ModelChanged")
@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_result_that_was_changed(
    damage: Callable[[Path], object], words: str, cli: Cli, job: Job, tmp_path: Path
) -> None:
    folder = run(cli, job, "first", "Full", **UNTRAINED)
    damage(folder)
    with pytest.raises(ModelChanged, match=words) as caught:
        fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path))
    assert caught.value.problems[0].where == "spec.model.uri"
    assert "another model" in caught.value.problems[0].hint


@pytest.mark.causes("ModelChanged")
@pytest.mark.causes("ModelNotFound")
def test_another_result_than_the_job_said(cli: Cli, job: Job, tmp_path: Path) -> None:
    folder = run(cli, job, "first", "Full", **UNTRAINED)
    parent = parent_of(folder)
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"metrics": {}}))
    with pytest.raises(ModelChanged, match="has the digest sha256"):
        fetch_model(ModelSource(uri="finetunejob://first"), Site(tmp_path, parents=[parent]))
    shutil.rmtree(folder)
    with pytest.raises(ModelNotFound, match="the result of first is gone"):
        fetch_model(ModelSource(uri="finetunejob://first"), Site(tmp_path, parents=[parent]))


@pytest.mark.causes("ModelNotFound")
def test_an_adapter_whose_base_is_gone(cli: Cli, job: Job, tmp_path: Path) -> None:
    first = run(cli, job, "first", "Full", **UNTRAINED)
    second = run(cli, job, "second", "LoRA", first.as_uri(), **UNTRAINED)
    shutil.rmtree(first)
    with pytest.raises(ModelNotFound, match="is an adapter, and its base is gone"):
        fetch_model(ModelSource(uri=second.as_uri()), Site(tmp_path))


@pytest.mark.causes("ModelUnsuitable")
def test_adapters_that_can_not_be_loaded(cli: Cli, job: Job, tmp_path: Path) -> None:
    folder = run(cli, job, "first", "LoRA", **UNTRAINED) / "model"
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    settings = json.loads((folder / "adapter_config.json").read_text())
    for changes, words in (
        ({"peft_type": "XLORA"}, "of the kind XLORA"),
        ({"base_model_name_or_path": None}, "does not name its base"),
        ({"base_model_name_or_path": "ftp://x"}, "no address of a model"),
        ({"base_model_name_or_path": str(alone)}, "deep"),
    ):
        (alone / "adapter_config.json").write_text(json.dumps(settings | changes))
        with pytest.raises(ModelUnsuitable, match=words):
            fetch_model(ModelSource(uri=alone.as_uri()), Site(tmp_path))


def test_files_without_a_manifest_are_a_model_like_any_other(cli: Cli, job: Job, data: Path, tmp_path: Path) -> None:
    folder = run(cli, job, "first", "LoRA")
    shutil.copytree(folder / "model", tmp_path / "elsewhere")
    files = fetch_model(ModelSource(uri="file://./elsewhere"), Site(tmp_path))
    assert files.parent_uid == ""
    assert replace(files, base=None) != files
    second = run(cli, job, "second", "Full", (tmp_path / "elsewhere").as_uri(), **UNTRAINED)
    assert first_losses(second)[0] == pytest.approx(first_losses(folder)[1], rel=1e-4)
    assert predictions(second, data, Site(tmp_path))
