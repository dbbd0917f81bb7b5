import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import Method
from finetune_api.tasks import MethodType, ProblemType
from finetune_trainer.data.tokenising.tokens import Tokens, tokenise
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.methods.feature_extraction import _Encoder
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective

Make = Callable[..., Any]
CLASSES = torch.arange(24) % 3
TOLD: list[int] = []


def adapt(files: Any, model: Any, cache: Path, pooling: str = "Head") -> Adapted:
    method = Method.model_validate({"type": "FeatureExtraction", "featureExtraction": {"pooling": pooling}})
    return METHODS[MethodType.FEATURE_EXTRACTION](model, files, method, cache)


def tokens_of(texts: list[str], tokenizer: Any) -> Tokens:
    return tokenise(texts, None, tokenizer, 64)


def forwards(module: Any) -> list[int]:
    """A list that grows with every forward pass of the module."""
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.fixture
def texts(sentences: list[str]) -> list[str]:
    """Texts of many lengths."""
    return [" ".join(text.split()[: 1 + index % 9]) for index, text in enumerate(sentences)]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "gpt2", "llama"])
@pytest.mark.parametrize("pooling", ["Head", "Auto"])
def test_the_head_alone_is_the_whole_model_before_and_after_training(
    kind: str, pooling: str, tiny_classifier: Make, tiny_rows: Make, train: Make, texts: list[str], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    files, tokenizer, model = tiny_classifier(kind)
    body = getattr(model, model.base_model_prefix)
    adapted = adapt(files, model, tmp_path / "cache", pooling)
    before = {name: weight.clone() for name, weight in body.state_dict().items() if "pooler" not in name}
    rows = adapted.rows(tokens_of(texts, tokenizer), TOLD.append)
    start = predict_logits(adapted.model, rows)
    with adapted.model.whole() as whole:  # type: ignore[operator]
        assert np.allclose(start, predict_logits(whole, tiny_rows(texts, tokenizer)), atol=1e-5)
    train(adapted.model, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), steps=30)
    tuned = predict_logits(adapted.model, rows)
    assert not np.allclose(start, tuned, atol=0.05)
    assert all(torch.equal(body.state_dict()[name], weight) for name, weight in before.items())

    adapted.save(tmp_path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert type(plain) is type(model)
    assert np.allclose(predict_logits(plain, tiny_rows(texts, tokenizer)), tuned, atol=1e-4)
    assert adapted.total_parameters == sum(weight.numel() for weight in plain.parameters())


def test_only_the_head_is_trained(tiny_classifier: Make, tmp_path: Path) -> None:
    for kind, names in {
        "bert": {"bert.pooler.dense", "classifier"},
        "distilbert": {"pre_classifier", "classifier"},
        "gpt2": {"score"},
    }.items():
        files, _, model = tiny_classifier(kind)
        head = adapt(files, model, tmp_path).model
        trained = {name.removeprefix("model.").rpartition(".")[0] for name, _ in head.named_parameters()}
        assert trained == names
        assert all(weight.requires_grad for weight in head.parameters())


def test_decoders_use_the_last_token(tiny_classifier: Make, texts: list[str], tmp_path: Path) -> None:
    """Their padding token may be the end-of-text token, which a text can end with: the head skips it then."""
    files, tokenizer, model = tiny_classifier("gpt2")
    ends = [*texts[:6], f"{texts[8]}<|endoftext|>"]
    adapted = adapt(files, model, tmp_path)
    features = adapted.rows(tokens_of(ends, tokenizer), TOLD.append).collate(np.arange(7))["features"]
    with adapted.model.whole() as whole, torch.no_grad():  # type: ignore[operator]
        for index, text in enumerate(ends):
            hidden = whole.transformer(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            assert torch.allclose(features[index], hidden[-2 if text.endswith(">") else -1], atol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
def test_the_mean_is_the_mean(kind: str, tiny_classifier: Make, texts: list[str], tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier(kind)
    _, _, plain = tiny_classifier(kind)
    body = getattr(plain, plain.base_model_prefix)
    adapted = adapt(files, model, tmp_path, "Mean")
    features = adapted.rows(tokens_of(texts, tokenizer), TOLD.append).collate(np.arange(len(texts)))["features"]
    with torch.no_grad():
        for index, text in enumerate(texts):
            hidden = body(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            normed, first = (functional.layer_norm(vector, vector.shape) for vector in (hidden.mean(dim=0), hidden[0]))
            assert torch.allclose(features[index], normed, atol=0.05)
            assert not torch.allclose(first, normed, atol=0.05), "too alike to tell"


@pytest.mark.parametrize(
    ("pooling", "declared", "layers"),
    [
        ("Head", None, 2),
        ("Mean", None, 3),
        ("Auto", None, 3),
        ("Auto", "cls", 2),
        ("Auto", "mean", 3),
        ("Mean", "cls", 3),
    ],
)
def test_pooling(pooling: str, declared: str | None, layers: int, tiny_classifier: Make, tmp_path: Path) -> None:
    files, _, model = tiny_classifier("bert")
    shutil.copytree(files.folder, tmp_path / "copy")
    if declared:
        (tmp_path / "copy" / "1_Pooling").mkdir()
        modes = {f"pooling_mode_{kind}": kind.startswith(declared) for kind in ("cls_token", "mean_tokens")}
        (tmp_path / "copy" / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    adapt(replace(files, folder=tmp_path / "copy"), model, tmp_path, pooling)
    assert model.config.num_hidden_layers == layers


@pytest.mark.causes("ModelUnsuitable")
def test_a_mean_that_can_not_be_built(tiny_classifier: Make, tmp_path: Path) -> None:
    files, _, model = tiny_classifier("gpt2")
    with pytest.raises(ModelUnsuitable, match="type gpt2") as caught:
        adapt(files, model, tmp_path, "Mean")
    assert caught.value.problems[0].where == "spec.method.featureExtraction.pooling"


@pytest.mark.causes("ModelUnsuitable")
def test_a_head_that_looks_at_all_tokens(tiny_classifier: Make, tmp_path: Path) -> None:
    files, _, model = tiny_classifier("modernbert", classifier_pooling="mean")
    with pytest.raises(ModelUnsuitable, match="more than one position") as caught:
        adapt(files, model, tmp_path)
    assert caught.value.problems[0].where == "spec.method.type"
    files, _, model = tiny_classifier("modernbert", classifier_pooling="cls")
    adapt(files, model, tmp_path)


@pytest.mark.causes("ModelUnsuitable")
def test_a_head_that_can_not_be_fed(tmp_path: Path, tiny_classifier: Make) -> None:
    """BART's head looks for an end token in the input, and its body is an encoder with a decoder."""
    from transformers import BartConfig, BartForSequenceClassification

    sizes = dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"), 2)
    config = BartConfig(d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=50, **sizes)
    files, _, _ = tiny_classifier("bert")
    with pytest.raises(ModelUnsuitable, match="BartForSequenceClassification"):
        adapt(files, BartForSequenceClassification(config), tmp_path)


def test_what_is_encoded_once_is_found_again(tiny_classifier: Make, texts: list[str], tmp_path: Path) -> None:
    features, calls, told = [], [], list[int]()
    for _ in range(2):
        files, tokenizer, model = tiny_classifier("bert")
        counted = forwards(model.bert)
        rows = adapt(files, model, tmp_path).rows(tokens_of(texts, tokenizer), told.append)
        features.append(rows.collate(np.arange(len(texts)))["features"])
        calls.append(len(counted))
    assert calls[0] > 0
    assert calls[1] == 0
    assert torch.equal(*features)
    assert sum(told) == 2 * len(texts)


def test_a_broken_cache_is_made_anew(tiny_classifier: Make, texts: list[str], tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    adapted, tokens = adapt(files, model, tmp_path), tokens_of(texts, tokenizer)
    fresh = adapted.rows(tokens, TOLD.append).collate(np.arange(3))["features"]
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(adapted.rows(tokens, TOLD.append).collate(np.arange(3))["features"], fresh)


def test_what_makes_features_differ_makes_other_files(
    tiny_model: Make, tiny_classifier: Make, texts: list[str], tmp_path: Path
) -> None:
    files, tokenizer, _ = tiny_classifier("bert")
    tokens = tokens_of(texts, tokenizer)

    def digest(files: Any, tokens: Tokens, pooling: str = "Head") -> str:
        _, _, model = tiny_classifier("bert")
        rows = adapt(files, model, tmp_path, pooling).rows
        assert isinstance(rows, _Encoder)
        return rows._digest(tokens)

    copy = tmp_path / "copy"
    shutil.copytree(files.folder, copy)
    same = replace(files, folder=copy)
    assert digest(files, tokens) == digest(same, tokens)
    others = [
        digest(files, tokens_of(texts[:-1], tokenizer)),
        digest(files, tokens, "Mean"),
        digest(replace(files, folder=tiny_model("bert", hidden_act="relu")), tokens),
        digest(replace(files, folder=tiny_model("electra")), tokens),
    ]
    assert len({digest(files, tokens), *others}) == 5
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    same = replace(same)  # which has not been read yet
    assert digest(same, tokens) != digest(files, tokens)
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert digest(same, tokens, "Auto") == digest(same, tokens, "Head") != digest(same, tokens, "Mean")
