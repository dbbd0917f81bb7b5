"""Number format of exported weights: that of the base model, or the one that the job names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from finetune_trainer.models.weights_dtype import convert_weights

Cli = Callable[..., Any]
FORMATS = {"FP32": torch.float32, "BF16": torch.bfloat16, "FP16": torch.float16}


@pytest.fixture
def base(tiny_model: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    """A function from a format to a tiny BERT whose weights are stored in it."""

    def make(name: str) -> Path:
        folder = tiny_model("bert")
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, dtype=FORMATS[name])
        model.save_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def result(cli: Cli, tmp_path: Path, sentences: list[str]) -> Callable[..., Path]:
    """A function that tunes a model and returns the output folder."""

    def make(model: Path, method: str = "Full", **output: Any) -> Path:
        rows = [{"text": text, "label": "good" if "joy" in text or "works" in text else "bad"} for text in sentences]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        spec = {
            "task": "SequenceClassification",
            "model": {"uri": model.as_uri()},
            "data": {"train": [{"uri": "file://./rows.jsonl"}], "split": {"validation": 0.2, "test": 0.3}},
            "method": {"type": method},
            "training": {"epochs": 2, "batchSize": 8, "learningRate": 1e-3, "precision": "FP32"},
            "output": {"uri": "file://./out", **output},
        }
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        ended = cli("run", tmp_path / "job.yaml", "--uid", "one")
        assert ended.code == 0, ended.err
        return tmp_path / "out" / "job" / "one"

    return make


def dtypes(folder: Path) -> set[torch.dtype]:
    (file,) = (folder / "model").glob("*.safetensors")
    return {tensor.dtype for tensor in load_file(file).values() if tensor.is_floating_point()}


@pytest.mark.parametrize(
    ("stored", "method", "output", "exported"),
    [
        ("BF16", "Full", {}, "BF16"),
        ("FP16", "Full", {}, "FP16"),
        ("FP32", "Full", {}, "FP32"),
        ("BF16", "Full", {"dtype": "FP32"}, "FP32"),
        ("FP32", "FeatureExtraction", {"dtype": "BF16"}, "BF16"),
        ("BF16", "LoRA", {}, "FP32"),
        ("FP32", "LoRA", {"dtype": "BF16"}, "BF16"),
        ("BF16", "LoRA", {"mergeAdapter": True}, "BF16"),
        ("FP32", "LoRA", {"mergeAdapter": True, "dtype": "FP16"}, "FP16"),
    ],
)
def test_format_of_the_exported_weights(
    base: Callable[[str], Path],
    result: Callable[..., Path],
    stored: str,
    method: str,
    output: dict[str, Any],
    exported: str,
) -> None:
    folder = result(base(stored), method, **output)
    assert dtypes(folder) == {FORMATS[exported]}
    assert json.loads((folder / "report" / "report.json").read_text())["weightsDtype"] == exported
    assert f"stored in {exported}" in (folder / "README.md").read_text()
    if method != "LoRA" or output.get("mergeAdapter"):
        assert AutoModelForSequenceClassification.from_pretrained(folder / "model").dtype == FORMATS[exported]


def test_what_is_measured_is_what_is_exported(
    base: Callable[[str], Path], result: Callable[..., Path], cli: Cli
) -> None:
    folder = result(base("BF16"))
    report = json.loads((folder / "report" / "report.json").read_text())
    samples = report["details"]["samples"]
    ended = cli("predict", folder, "-", stdin="".join(f"{json.dumps({'text': s['text']})}\n" for s in samples).encode())
    for sample, predicted in zip(samples, ended.events, strict=True):
        assert predicted["score"] == pytest.approx(sample["confidence"], abs=1e-6)


def test_several_files_and_what_does_not_fit(tmp_path: Path) -> None:
    """A value beyond the range of FP16 would become infinite; integers are no weights; the index knows the size."""
    save_file({"a": torch.ones(4), "n": torch.arange(3)}, tmp_path / "model-1.safetensors", {"format": "pt"})
    save_file({"large": torch.tensor([1e6, 1.0]), "own": torch.ones(2)}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 56}, "weight_map": {}}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "dtype": "float32"}))
    convert_weights(tmp_path, torch.float16, {"own": torch.float32})
    one, two = (load_file(tmp_path / f"model-{number}.safetensors") for number in (1, 2))
    assert {name: tensor.dtype for name, tensor in (one | two).items()} == {
        "a": torch.float16,
        "n": torch.int64,
        "large": torch.float32,
        "own": torch.float32,
    }
    assert two["large"].tolist() == [1e6, 1.0]
    assert json.loads(index.read_text())["metadata"]["total_size"] == 8 + 24 + 8 + 8
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float16"
