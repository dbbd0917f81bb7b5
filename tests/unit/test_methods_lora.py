import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.data import Clean, Columns
from finetune_api.failures import ModelNotFound, ModelUnsuitable, UnsafeModel
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.method import Method
from finetune_api.model import ModelSource
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.storage import Site
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.speedups.dropout import ByteDropout, fast_dropout

Make = Callable[..., Any]
NAMES = ("good", "broken", "late")
CLASSES = torch.arange(24) % 3
HEADS = {
    "bert": {"bert.pooler.dense", "classifier"},
    "distilbert": {"pre_classifier", "classifier"},
    "roberta": {"classifier.dense", "classifier.out_proj"},
    "electra": {"classifier.dense", "classifier.out_proj"},
    "modernbert": {"head.dense", "head.norm", "classifier"},
    "gpt2": {"score"},
    "llama": {"score"},
}
kinds = pytest.mark.parametrize("kind", HEADS)


def adapt(files: Any, model: Any, **settings: Any) -> Adapted:
    lora = {"rank": 4, "dropout": 0, **settings}
    return METHODS[MethodType.LORA](model, files, Method.model_validate({"lora": lora}), Path("/nowhere"))


def save(adapted: Adapted, tokenizer: Any, folder: Path) -> Path:
    folder.mkdir()
    adapted.save(folder)
    tokenizer.save_pretrained(folder)
    settings = InferenceSettings(
        task=Task.SEQUENCE_CLASSIFICATION,
        method=MethodType.LORA,
        problem_type=ProblemType.SINGLE_LABEL,
        labels=list(NAMES),
        max_length=64,
        columns=Columns(),
        clean=Clean(),
    )
    (folder / INFERENCE_NAME).write_text(settings.model_dump_json(by_alias=True))
    return folder


def trained_heads(model: Any) -> set[str]:
    names = [name for name, weight in model.named_parameters() if weight.requires_grad and "lora_" not in name]
    return {
        name.removeprefix("base_model.model.").replace("modules_to_save.default.", "").rpartition(".")[0]
        for name in names
    } | {name for name in names if "modules_to_save" not in name}


@kinds
def test_adapters_and_head_are_trained_saved_loaded_and_merged(
    kind: str, tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    files, tokenizer, model = tiny_classifier(kind)
    rows = tiny_rows(sentences, tokenizer)
    base = predict_logits(model, rows)
    adapted = adapt(files, model)
    assert np.allclose(predict_logits(adapted.model, rows), base, atol=1e-6), "nothing changes before the first step"
    assert {name.removesuffix(".modules_to_save.default") for name in trained_heads(adapted.model)} == HEADS[kind]
    train(adapted.model, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), steps=6)
    tuned = predict_logits(adapted.model, rows)
    assert not np.allclose(tuned, base, atol=0.05)

    folder = save(adapted, tokenizer, tmp_path / "model")
    assert {file.name for file in folder.iterdir()} == {
        *{"adapter_config.json", "adapter_model.safetensors", "config.json", INFERENCE_NAME},
        *{"tokenizer.json", "tokenizer_config.json"},
    }
    loaded = load_tuned(fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path)))
    assert np.allclose(predict_logits(loaded.model, rows), tuned, atol=1e-5)
    assert loaded.model.config.id2label == dict(enumerate(NAMES))

    assert adapted.merge is not None
    adapted.merge(tmp_path / "merged", torch.float32)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert np.allclose(predict_logits(plain, rows), tuned, atol=1e-4)
    assert plain.config.pad_token_id == tokenizer.pad_token_id


def test_the_base_is_not_touched(tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str]) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    before = {name: weight.clone() for name, weight in model.bert.encoder.state_dict().items()}
    adapted = adapt(files, model)
    train(adapted.model, tiny_rows(sentences, tokenizer), CLASSES, Objective(ProblemType.SINGLE_LABEL))
    after = {name.replace("base_layer.", ""): weight for name, weight in model.bert.encoder.state_dict().items()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_all_linear_modules_of_the_body_get_an_adapter(tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier("bert")
    adapted = adapt(files, model)
    pairs = [name for name, _ in adapted.model.named_parameters() if "lora_A" in name]
    assert len(pairs) == 2 * 6
    assert not any("pooler" in name or "classifier" in name for name in pairs)
    assert adapted.total_parameters == sum(weight.numel() for weight in adapted.model.parameters())


def test_chosen_modules(tiny_classifier: Make) -> None:
    """`dense` also ends names in the pooler, which is trained in full and needs no adapter."""
    files, _, model = tiny_classifier("bert")
    adapted = adapt(files, model, targetModules=["query", "output.dense"])
    names = {name.split(".lora_A")[0] for name, _ in adapted.model.named_parameters() if "lora_A" in name}
    ends = {".".join(name.split(".")[6:]) for name in names}
    assert ends == {"attention.self.query", "attention.output.dense", "output.dense"}
    files, _, model = tiny_classifier("bert")
    adapted = adapt(files, model, targetModules=["dense"])
    names = {name for name, _ in adapted.model.named_parameters() if "lora_A" in name}
    assert len(names) == 2 * 3
    assert not any("pooler" in name for name in names)


@pytest.mark.causes("ModelUnsuitable")
def test_unknown_modules_are_told_with_those_that_there_are(tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier("bert")
    with pytest.raises(ModelUnsuitable, match="named q_proj, pooler") as caught:
        adapt(files, model, targetModules=["q_proj", "query", "pooler"])
    problem = caught.value.problems[0]
    assert problem.where == "spec.method.lora.targetModules"
    assert "end in: dense, key, query, value" in problem.hint


@pytest.mark.parametrize(("stabilized", "scale"), [(False, 2.0), (True, 4.0)])
def test_scale(tiny_classifier: Make, stabilized: bool, scale: float) -> None:
    files, _, model = tiny_classifier("bert")
    adapted = adapt(files, model, alpha=8, rankStabilized=stabilized)
    assert adapted.model.base_model.model.bert.encoder.layer[0].attention.self.query.scaling == {"default": scale}


def test_dropout_of_the_adapters_is_swapped_too(tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier("bert")
    adapted = adapt(files, model, dropout=0.1)
    query = adapted.model.base_model.model.bert.encoder.layer[0].attention.self.query
    before = query.lora_dropout["default"]
    with fast_dropout(adapted.model):
        assert type(query.lora_dropout["default"]) is ByteDropout
    assert query.lora_dropout["default"] is before


def test_activation_checkpointing_keeps_the_gradients(
    tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str]
) -> None:
    """With a frozen embedding, the reentrant kind would silently train nothing below the head."""
    curves = []
    for checkpointing in (False, True):
        files, tokenizer, model = tiny_classifier("bert")
        if checkpointing:
            model.activation_checkpointing_enable()
        torch.manual_seed(3)
        adapted = adapt(files, model)
        result = train(adapted.model, tiny_rows(sentences, tokenizer), CLASSES, Objective(ProblemType.SINGLE_LABEL))
        curves.append([(point.loss, point.gradient_norm) for point in result.curves])
    assert np.allclose(*curves, rtol=1e-3)


@pytest.mark.causes("ModelNotFound")
def test_an_adapter_without_its_base(tiny_classifier: Make, tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    folder = save(adapt(files, model), tokenizer, tmp_path / "model")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "gone")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelNotFound, match="gone"):
        load_tuned(fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path)))


@pytest.mark.causes("UnsafeModel")
def test_a_pickled_adapter_is_never_read(tiny_classifier: Make, tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    folder = save(adapt(files, model), tokenizer, tmp_path / "model")
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    with pytest.raises(UnsafeModel, match="pickled"):
        load_tuned(fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path)))


@pytest.mark.causes("ModelUnsuitable")
def test_broken_settings_of_a_tuned_model(tiny_classifier: Make, tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    folder = save(adapt(files, model), tokenizer, tmp_path / "model")
    (folder / INFERENCE_NAME).write_text('{"task": "Magic"}')
    with pytest.raises(ModelUnsuitable, match=INFERENCE_NAME):
        load_tuned(fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path)))
    (folder / INFERENCE_NAME).unlink()
    with pytest.raises(ModelNotFound, match="no tuned model"):
        load_tuned(fetch_model(ModelSource(uri=folder.as_uri()), Site(tmp_path)))
