"""All adapters by PEFT on all kinds of models: they learn, leave the base alone, are saved, loaded and merged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.data import Clean, Columns
from finetune_api.failures import ModelUnsuitable
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.method import MERGEABLE, Method
from finetune_api.model import ModelSource
from finetune_api.tasks import ProblemType, Task
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.tuned import load_tuned
from finetune_trainer.storage import Site
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective

Make = Callable[..., Any]
NAMES = ("good", "broken", "late")
CLASSES = torch.arange(24) % 3
KINDS = ("bert", "distilbert", "roberta", "electra", "modernbert", "gpt2", "llama")
SETTINGS: dict[str, dict[str, Any]] = {
    "DoRA": {"type": "DoRA", "dora": {"rank": 4, "dropout": 0}},
    "IA3": {"type": "IA3"},
    "PrefixTuning": {"type": "PrefixTuning", "prefixTuning": {"numVirtualTokens": 5}},
    "PrefixTuning with projection": {
        "type": "PrefixTuning",
        "prefixTuning": {"numVirtualTokens": 5, "projection": True},
    },
    "PromptTuning": {"type": "PromptTuning", "promptTuning": {"numVirtualTokens": 5}},
    "PromptTuning from text": {
        "type": "PromptTuning",
        "promptTuning": {"numVirtualTokens": 5, "initText": "our window"},
    },
    "PTuning": {"type": "PTuning", "pTuning": {"numVirtualTokens": 5, "encoderHiddenSize": 16}},
    "Pfeiffer": {"type": "BottleneckAdapter", "bottleneckAdapter": {"reductionFactor": 4}},
    "Houlsby": {"type": "BottleneckAdapter", "bottleneckAdapter": {"style": "Houlsby", "reductionFactor": 4}},
}
WITHOUT_PREFIX = ("distilbert", "modernbert")
ALIKE = ("DoRA", "PrefixTuning with projection", "PromptTuning from text", "PTuning", "Pfeiffer")
MATRIX = [
    pytest.param(kind, name, id=f"{kind}-{name}")
    for name in SETTINGS
    for kind in KINDS
    if not ("Prefix" in name and kind in WITHOUT_PREFIX) and (name not in ALIKE or kind in ("bert", "gpt2"))
]


def adapt(name: str, files: Any, model: Any, **settings: Any) -> Adapted:
    method = Method.model_validate(SETTINGS[name] | settings)
    return METHODS[method.type](model, files, method, Path("/nowhere"))


def saved(adapted: Adapted, name: str, tokenizer: Any, folder: Path) -> Any:
    folder.mkdir()
    adapted.save(folder)
    tokenizer.save_pretrained(folder)
    settings = InferenceSettings(
        task=Task.SEQUENCE_CLASSIFICATION,
        method=Method.model_validate(SETTINGS[name]).type,
        problem_type=ProblemType.SINGLE_LABEL,
        labels=list(NAMES),
        max_length=64,
        columns=Columns(),
        clean=Clean(),
    )
    (folder / INFERENCE_NAME).write_text(settings.model_dump_json(by_alias=True))
    return fetch_model(ModelSource(uri=folder.as_uri()), Site(folder))


@pytest.mark.parametrize(("kind", "name"), MATRIX)
def test_it_learns_is_saved_loaded_and_merged(
    kind: str, name: str, tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str], tmp_path: Path
) -> None:
    files, tokenizer, model = tiny_classifier(kind)
    texts = [" ".join(text.split()[: 3 + index % 9]) for index, text in enumerate(sentences)]
    rows = tiny_rows(texts, tokenizer)
    base, before = predict_logits(model, rows), {name: weight.clone() for name, weight in model.named_parameters()}
    adapted = adapt(name, files, model)
    with adapted.as_base_model():
        assert np.allclose(predict_logits(adapted.model, rows), base, atol=1e-6)
    if not adapted.model.active_peft_config.is_prompt_learning:
        assert np.allclose(predict_logits(adapted.model, rows), base, atol=1e-6), "nothing changes before a step"
    trainable = {name: weight.clone() for name, weight in adapted.model.named_parameters() if weight.requires_grad}
    result = train(adapted.model, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), steps=30, learning_rate=2e-2)
    assert result.curves[-1].loss < result.curves[0].loss - 0.05
    _check_only_these_changed(adapted, trainable, before)

    tuned = predict_logits(adapted.model, rows)
    found = saved(adapted, name, tokenizer, tmp_path / "model")
    loaded = load_tuned(found)
    assert np.allclose(predict_logits(loaded.model, rows), tuned, atol=1e-5)
    _check_padding(loaded.model, tokenizer, texts, tiny_rows)
    assert (adapted.merge is not None) == (loaded.settings.method in MERGEABLE)
    if adapted.merge is not None:
        from transformers import AutoModelForSequenceClassification

        adapted.merge(tmp_path / "merged", torch.float32)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
        assert np.allclose(predict_logits(plain, rows), tuned, atol=1e-4)


def _check_only_these_changed(
    adapted: Adapted, trainable: dict[str, torch.Tensor], before: dict[str, torch.Tensor]
) -> None:
    after = dict(adapted.model.named_parameters())
    assert {name for name, weight in after.items() if weight.requires_grad} == set(trainable)
    same = [name for name, weight in trainable.items() if torch.equal(after[name], weight)]
    assert same == [], "what is said to be trained is trained"
    head = ("classifier", "score", "pre_classifier", "pooler", "head")
    frozen = {name: weight for name, weight in before.items() if not set(name.split(".")) & set(head)}
    base = adapted.model.get_base_model().named_parameters()
    now = {name.replace("base_layer.", ""): weight for name, weight in base if not weight.requires_grad}
    assert frozen.keys() <= now.keys()
    assert all(torch.equal(now[name], weight) for name, weight in frozen.items())


def _check_padding(model: Any, tokenizer: Any, texts: list[str], tiny_rows: Make) -> None:
    """Rows are padded to the longest of their batch, which must change nothing."""
    together = predict_logits(model, tiny_rows(texts[:6], tokenizer))
    alone = [predict_logits(model, tiny_rows([text], tokenizer))[0] for text in texts[:6]]
    assert np.allclose(together, np.stack(alone), atol=1e-5)


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize("kind", WITHOUT_PREFIX)
def test_models_that_can_not_take_a_prefix(kind: str, tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier(kind)
    with pytest.raises(ModelUnsuitable, match=f"a {kind} model can't take virtual tokens") as caught:
        adapt("PrefixTuning", files, model)
    assert "BottleneckAdapter" in caught.value.problems[0].hint


def test_a_prompt_starts_from_its_text(tiny_classifier: Make) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    adapted = adapt("PromptTuning from text", files, model)
    ids = tokenizer("our window", add_special_tokens=False)["input_ids"]
    expected = model.get_input_embeddings().weight[torch.tensor((ids * 5)[:5])]
    assert torch.allclose(adapted.model.prompt_encoder["default"].embedding.weight, expected)


def test_a_result_names_no_path_of_the_tokenizer(tiny_classifier: Make, tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    saved(adapt("PromptTuning from text", files, model), "PromptTuning from text", tokenizer, tmp_path / "model")
    text = (tmp_path / "model" / "adapter_config.json").read_text()
    assert text.count(str(files.folder)) == 1, "as the base"


@pytest.mark.parametrize(("style", "a_layer"), [("Pfeiffer", 1), ("Houlsby", 2)])
def test_where_bottlenecks_are(style: str, a_layer: int, tiny_classifier: Make) -> None:
    for kind in KINDS:
        files, _, model = tiny_classifier(kind)
        adapted = adapt(style, files, model)
        ups = [name for name, _ in adapted.model.named_parameters() if name.endswith("bottleneck_up.default.weight")]
        assert len(ups) == 2 * a_layer, kind


def test_scales_of_ia3(tiny_classifier: Make) -> None:
    """Keys, values and what goes into the second feed-forward module."""
    files, _, model = tiny_classifier("bert")
    adapted = adapt("IA3", files, model)
    ends = {name.split(".layer.0.")[1].split(".ia3_l")[0] for name, _ in adapted.model.named_parameters()
            if "layer.0." in name and "ia3_l" in name}  # fmt: skip
    assert ends == {"attention.self.key", "attention.self.value", "output.dense"}
    named = adapt("IA3", files, tiny_classifier("bert")[2], ia3={"targetModules": ["query"]})
    names = [name for name, _ in named.model.named_parameters() if "ia3_l" in name]
    assert len(names) == 2 * 2
    assert any("query" in name for name in names)


@pytest.mark.causes("ModelUnsuitable")
def test_unknown_parts(tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier("bert")
    for layer in model.bert.encoder.layer:
        layer.output.last, layer.output.dense = layer.output.dense, torch.nn.Identity()
    with pytest.raises(ModelUnsuitable, match="outputs of feed-forward networks of a bert model are not known"):
        adapt("Pfeiffer", files, model)


@pytest.mark.causes("ModelUnsuitable")
@pytest.mark.parametrize("name", ["DoRA", "IA3", "PromptTuning", "Pfeiffer"])
def test_running_statistics_are_refused_since_no_adapter_carries_them(name: str, tiny_classifier: Make) -> None:
    files, _, model = tiny_classifier("bert")
    model.bert.encoder.layer[1].output.LayerNorm = torch.nn.BatchNorm1d(32)
    with pytest.raises(ModelUnsuitable, match=r"running statistics in bert\.encoder\.layer\.1") as failure:
        adapt(name, files, model)
    assert failure.value.problems[0].where == "spec.method.type"
    assert "Full" in failure.value.problems[0].hint
