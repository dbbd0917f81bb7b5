"""Merges of adapters: sums of LoRA are exact and stay adapters, everything else becomes a whole model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Cli = Callable[..., Any]
Result = Callable[..., Path]
Job = Callable[..., str]
Run = Callable[[str], Any]
LORA = {"type": "LoRA", "lora": {"rank": 2, "alpha": 4}}
LAYER = "base_model.model.bert.encoder.layer.1.output.dense"
HEAD = "base_model.model.classifier.weight"


def change(folder: Path, scale: float) -> torch.Tensor:
    """What an adapter adds to one weight."""
    weights = load_file(folder / "model" / "adapter_model.safetensors")
    return scale * weights[f"{LAYER}.lora_B.weight"] @ weights[f"{LAYER}.lora_A.weight"]


def head(folder: Path) -> torch.Tensor:
    return load_file(folder / "model" / "adapter_model.safetensors")[HEAD]


def test_a_sum_of_adapters_of_different_ranks(result: Result, merged: Run, merge_job: Job) -> None:
    first, second = result("lora"), result("stabilised", 2)
    sources = [{"uri": first.as_uri(), "weight": 1}, {"uri": second.as_uri(), "weight": 3}]
    ended = merged(merge_job(*sources, merge={"scale": 1.5}))
    wanted = 1.5 * (0.25 * change(first, 2) + 0.75 * change(second, 2))
    assert wanted.abs().max() > 1e-3
    assert torch.allclose(change(ended.folder, 1), wanted, atol=1e-7)
    assert torch.allclose(head(ended.folder), 0.25 * head(first) + 0.75 * head(second), atol=1e-7)
    config = json.loads((ended.folder / "model" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (6, 6, False)
    original = json.loads((first / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == original["base_model_name_or_path"]
    assert ended.report.merge.adapter
    card = (ended.folder / "README.md").read_text()
    assert "library_name: peft" in card


def test_a_merged_adapter_says_what_the_same_merge_as_a_whole_model_says(
    cli: Cli, result: Result, merged: Run, merge_job: Job, data: Path
) -> None:
    first, second = result("lora"), result("lora", 2)
    small = merged(merge_job(first, second, name="small"))
    whole = merged(merge_job(first, second, name="whole", output={"uri": "file://./out", "mergeAdapter": True}))
    assert not whole.report.merge.adapter
    assert (whole.folder / "model" / "model.safetensors").is_file()
    said = [cli("predict", ended.folder, data).events for ended in (small, whole)]
    assert len(said[0]) == 216
    for one, other in zip(*said, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)


@pytest.mark.parametrize("combination", ["TIES", "DARELinear", "DARETIES"])
def test_other_combinations_make_a_whole_model(
    combination: str, cli: Cli, result: Result, merged: Run, merge_job: Job, data: Path
) -> None:
    first, second = result("lora"), result("dora", 2)
    merge = {"combination": combination, "density": 0.25}
    again = [merged(merge_job(first, second, name=name, merge=merge)) for name in ("one", "two")]
    other = merged(merge_job(first, second, name="three", merge=merge, training={"seed": 7}))
    one, two, three = (load_file(ended.folder / "model" / "model.safetensors") for ended in (*again, other))
    assert all(one[name].equal(two[name]) for name in one)
    name = "bert.encoder.layer.1.output.dense.weight"
    assert one[name].equal(three[name]) == (combination == "TIES")
    base = again[0].report
    assert (base.merge.density, base.merge.adapter) == (0.25, False)
    assert len(cli("predict", again[0].folder, data).events) == 216


def test_a_merge_can_be_gone_on_from_and_merged_again(
    cli: Cli, result: Result, merged: Run, merge_job: Job, job: Job
) -> None:
    first, second = result("lora"), result("lora", 2)
    parent = merged(merge_job(first, second))
    trained = cli("run", job("child", model=parent.folder.as_uri(), method=LORA), "--json")
    assert trained.code == 0, trained.out[-2000:]
    losses = [point.validation["evalLoss"] for point in trained.report.curves if point.validation]
    assert min(losses[1:]) < losses[0]
    again = merged(merge_job(parent.folder, second, name="again"))
    assert json.loads((again.folder / "model" / "adapter_config.json").read_text())["r"] == 6


def test_different_methods_become_one_whole_model(
    result: Result, pair: tuple[Path, Path], merged: Run, merge_job: Job
) -> None:
    ended = merged(merge_job(pair[0], result("ia3", 2)))
    assert [source.method for source in ended.report.merge.sources] == ["Full", "IA3"]
    assert not ended.report.merge.adapter
