import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_api.failures import ModelUnsuitable, UnsafeModel
from finetune_api.model import ModelSource
from finetune_api.tasks import ProblemType
from finetune_trainer.models.classifier import load_classifier, load_tokenizer, position_limit
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.storage import Site

Make = Callable[..., Any]
Change = Callable[[Path], object]
NAMES = ("a", "b", "c")


def load(files: ModelFiles, names: tuple[str, ...] = NAMES, seed: int = 1) -> Any:
    """All that a run does to get a model."""
    tokenizer = load_tokenizer(files)
    position_limit(files, tokenizer)
    return load_classifier(files, tokenizer, ProblemType.SINGLE_LABEL, names, seed)


def config(**changes: object) -> Change:
    def change(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({key: value for key, value in values.items() if value}))

    return change


def replaced(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def without(pattern: str) -> Change:
    return lambda folder: [file.unlink() for file in folder.glob(pattern)]


def cut(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])


def without_padding(folder: Path) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            values = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps({key: value for key, value in values.items() if key != "pad_token"}))


BROKEN: dict[str, tuple[Change, str]] = {
    "an architecture that transformers doesn't know": (config(model_type="tiny-elephant"), "tiny-elephant"),
    "no architecture": (config(model_type=None), "model_type"),
    "an architecture that classifies no texts": (config(model_type="clip"), "CLIPConfig"),
    "a config that is no JSON": (replaced("config.json", b"{nope"), "not a valid JSON"),
    "a config with words for numbers": (config(hidden_size="many"), "hidden_size"),
    "sizes that don't fit": (config(num_attention_heads=5), "attention heads"),
    "weights of half the length": (cut, "the model can't be loaded"),
    "weights that are none": (replaced("model.safetensors", b"junk" * 99), "the model can't be loaded"),
    "more layers than weights": (config(num_hidden_layers=5), r"48 weights are missing .*layer\.2\..* \.\.\."),
    "other sizes than the weights": (config(intermediate_size=48), "of another shape than config.json says"),
    "no tokenizer": (without("*token*"), "no tokenizer"),
    "a broken tokenizer": (replaced("tokenizer.json", b"{}"), "the tokenizer can't be loaded"),
    "nothing to pad with": (without_padding, "neither a padding nor an end-of-text token"),
}


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_models(change: Change, words: str, tiny_model: Make, tmp_path: Path) -> None:
    shutil.copytree(tiny_model("bert"), tmp_path / "copy")
    change(tmp_path / "copy")
    files = fetch_model(ModelSource(uri="file://./copy"), Site(tmp_path))
    with pytest.raises(ModelUnsuitable, match=words) as caught:
        load(files)
    problem = caught.value.problems[0]
    assert problem.where == "spec.model.uri"
    assert problem.hint


@pytest.mark.causes("UnsafeModel")
def test_a_model_with_code_of_its_own(tiny_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers would ask on a terminal whether to run it."""
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user was asked"))
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model("bert"), copy)
    (copy / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config(model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Own"})(
        copy
    )
    with pytest.raises(UnsafeModel, match="its own Python code") as caught:
        load(fetch_model(ModelSource(uri="file://./copy"), Site(tmp_path)))
    assert caught.value.problems[0].where == "spec.model.uri"
    assert not (tmp_path / "ran").exists()


def test_a_decoder_pads_with_its_end_of_text(tiny_classifier: Make) -> None:
    files, tokenizer, model = tiny_classifier("gpt2")
    assert "pad_token" not in json.loads((files.folder / "tokenizer_config.json").read_text())
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == model.config.pad_token_id
    assert model(**tokenizer(["The", "The printer broke"], padding=True, return_tensors="pt")).logits.shape == (2, 3)


def test_half_precision_becomes_single(tiny_model: Make, tmp_path: Path) -> None:
    from transformers import AutoModel

    shutil.copytree(tiny_model("bert"), tmp_path / "copy")
    AutoModel.from_pretrained(tmp_path / "copy", dtype=torch.bfloat16).save_pretrained(tmp_path / "copy")
    files = fetch_model(ModelSource(uri="file://./copy"), Site(tmp_path))
    assert {weight.dtype for weight in load(files).parameters()} == {torch.float32}


def test_a_head_for_other_labels_is_replaced(tiny_model: Make, tmp_path: Path) -> None:
    files = fetch_model(ModelSource(uri=tiny_model("bert", labels=5).as_uri()), Site(tmp_path))
    kept, new = load(files, tuple("abcde")), load(files)
    assert (kept.classifier.out_features, new.classifier.out_features) == (5, 3)
    again = load(files, tuple("abcde"), seed=9)
    assert torch.equal(kept.classifier.weight, again.classifier.weight), "a head that fits is kept"
    assert torch.equal(kept.bert.encoder.layer[1].output.dense.weight, new.bert.encoder.layer[1].output.dense.weight)


def test_a_new_head_comes_from_the_seed(tiny_model: Make, tmp_path: Path) -> None:
    files = fetch_model(ModelSource(uri=tiny_model("bert").as_uri()), Site(tmp_path))
    one, same, other = (load(files, seed=seed).classifier.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("problem", "labels", "wanted"),
    [
        (ProblemType.SINGLE_LABEL, NAMES, "single_label_classification"),
        (ProblemType.MULTI_LABEL, NAMES, "multi_label_classification"),
        (ProblemType.REGRESSION, (), "regression"),
    ],
)
def test_what_the_config_says(
    tiny_classifier: Make, problem: ProblemType, labels: tuple[str, ...], wanted: str
) -> None:
    _, _, model = tiny_classifier("bert", labels, problem)
    assert model.config.problem_type == wanted
    assert model.config.num_labels == max(1, len(labels))
    if labels:
        assert model.config.id2label == dict(enumerate(labels))
        assert model.config.label2id == {name: index for index, name in enumerate(labels)}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "modernbert", "gpt2", "llama"])
def test_the_longest_input(kind: str, tiny_classifier: Make) -> None:
    """RoBERTa has 66 positions here and loses two of them."""
    files, tokenizer, model = tiny_classifier(kind)
    assert position_limit(files, tokenizer) == 64
    tokenizer.model_max_length = 20
    assert position_limit(files, tokenizer) == 20
    if kind == "roberta":
        ids = torch.full((1, 65), 9)
        model(input_ids=ids[:, :64])
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=ids)
