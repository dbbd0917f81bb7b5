"""Feature extraction with a hidden layer in the head: trained, dropped out, saved, loaded and gone on from."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import Method
from finetune_api.tasks import MethodType, ProblemType
from finetune_trainer.data.tokenising.tokens import tokenise
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models.hidden_layer import HiddenLayer, add_hidden_layer, from_pretrained
from finetune_trainer.models.module_names import silence_output_layer
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective

Make = Callable[..., Any]
CLASSES = torch.arange(24) % 3
HIDDEN = {"type": "FeatureExtraction", "featureExtraction": {"headHiddenSize": 24, "headDropout": 0.5}}
TRAINED: dict[str, Any] = {"training": {"epochs": 12, "learningRate": 0.01}}
UNTRAINED: dict[str, Any] = {"training": {"epochs": 1, "maxSteps": 1, "learningRate": 1e-9, "warmupRatio": 0}}
DROPOUT = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5, "classifier_dropout": 0.0}


def adapt(files: Any, model: Any, cache: Path) -> Adapted:
    return METHODS[MethodType.FEATURE_EXTRACTION](model, files, Method.model_validate(HIDDEN), cache)


def hidden_of(module: nn.Module) -> HiddenLayer:
    return next(part for part in module.modules() if isinstance(part, HiddenLayer))


def first_weight(module: nn.Module) -> torch.Tensor:
    weight = hidden_of(module)[0].weight
    assert isinstance(weight, torch.Tensor)
    return weight


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "gpt2", "llama"])
def test_it_learns_and_comes_back_as_it_was(
    kind: str, tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    files, tokenizer, model = tiny_classifier(kind)
    adapted = adapt(files, model, tmp_path / "cache")
    rows = adapted.rows(tokenise(sentences, None, tokenizer, 64), lambda _rows: None)
    start = predict_logits(adapted.model, rows)
    result = train(adapted.model, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), steps=40)
    assert result.steps == 40
    tuned = predict_logits(adapted.model, rows)
    assert not np.allclose(start, tuned, atol=0.05)

    adapted.save(tmp_path / "model")
    again = from_pretrained(AutoModelForSequenceClassification, tmp_path / "model")
    assert type(again).__name__ == type(model).__name__
    assert hidden_of(again)[2].p == 0.5
    assert np.allclose(predict_logits(again, tiny_rows(sentences, tokenizer)), tuned, atol=1e-4)
    assert adapted.total_parameters == sum(weight.numel() for weight in again.parameters())


def test_dropout_is_of_the_head_alone(tiny_classifier: Make, sentences: list[str], tmp_path: Path) -> None:
    """The base has plenty of dropout too: what it makes of rows is the same each time, unlike what the head makes."""
    made, heads = list[torch.Tensor](), list[nn.Module]()
    for cache in ("first", "second"):
        files, tokenizer, model = tiny_classifier("bert", **DROPOUT)
        adapted = adapt(files, model.train(), tmp_path / cache)
        rows = adapted.rows(tokenise(sentences, None, tokenizer, 64), lambda _rows: None)
        made.append(rows.collate(np.arange(24))["features"])
        heads.append(adapted.model)
    assert torch.equal(*made)
    head = heads[1].train()
    assert not torch.equal(head(made[0]).logits, head(made[0]).logits)
    hidden_of(head)[2].eval()
    assert torch.equal(head(made[0]).logits, head(made[0]).logits)


def test_the_seed_decides_what_the_layer_starts_from(tiny_classifier: Make, tmp_path: Path) -> None:
    weights = []
    for seed in (1, 1, 2):
        files, _, model = tiny_classifier("bert")
        torch.manual_seed(seed)
        weights.append(first_weight(adapt(files, model, tmp_path).model))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_head_keeps_what_it_has(tiny_classifier: Make) -> None:
    _, _, model = tiny_classifier("roberta")
    add_hidden_layer(model, 24, 0.1)
    first = first_weight(model).clone()
    add_hidden_layer(model, 24, 0.3)
    assert torch.equal(first_weight(model), first)
    assert hidden_of(model)[2].p == 0.3
    add_hidden_layer(model, 16, 0.3)
    assert first_weight(model).shape == (16, 32)
    assert hidden_of(model)[3].weight.shape == (3, 16)
    assert model.config.head_hidden_layer == {"size": 16, "dropout": 0.3}
    assert sum(isinstance(part, HiddenLayer) for part in model.modules()) == 1


def test_a_silent_head_stays_silent(tiny_classifier: Make) -> None:
    """A reward model's: what it then tells was learned."""
    _, _, model = tiny_classifier("gpt2", names=("score",), problem=ProblemType.REGRESSION)
    silence_output_layer(model)
    add_hidden_layer(model, 24, 0.1)
    assert not model.eval()(input_ids=torch.tensor([[5, 6, 7]])).logits.any()


@pytest.mark.causes("ModelUnsuitable")
def test_an_entry_that_is_broken(tiny_classifier: Make, cli: Make, job: Make, tmp_path: Path) -> None:
    files, tokenizer, model = tiny_classifier("bert")
    add_hidden_layer(model, 24, 0.1)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text()) | {"head_hidden_layer": {"size": "wide"}}
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    ended = cli("run", job(model=(tmp_path / "model").as_uri()), "--json")
    assert ended.code != 0
    assert ModelUnsuitable.__name__ in ended.out + ended.err
    assert files.folder.is_dir()


def run(cli: Make, job: Make, name: str, method: dict[str, Any], model: str = "", **blocks: Any) -> Any:
    ended = cli("run", job(name, model=model, method=method, **blocks), "--json")
    assert ended.code == 0, ended.out[-2000:] + ended.err[-2000:]
    return ended


def losses(ended: Any) -> list[float]:
    return [point.validation["evalLoss"] for point in ended.report.curves if point.validation]


def test_a_whole_run_predicts_what_it_reports_and_its_card_runs(
    cli: Make, job: Make, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run(cli, job, "hidden", HIDDEN, **TRAINED)
    assert ended.report.evaluation.metrics["accuracy"] > ended.report.evaluation.baseline["accuracy"] + 0.3
    texts = "".join(f"{line.split(',')[0]}\n" for line in data.read_text().splitlines()[1:25])
    answered = cli("predict", ended.folder, "-", "--format", "jsonl", stdin=texts.encode())
    right = [line.split(",")[1] for line in data.read_text().splitlines()[1:25]]
    given = [event["label"] for event in answered.events]
    assert sum(a == b for a, b in zip(given, right, strict=True)) > 16

    code = re.search(r"```python\n(.*?)```", (ended.folder / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None
    monkeypatch.chdir(ended.folder)
    capfd.readouterr()
    code_of_card = code.group(1).replace("A text to classify", texts.split("\n")[0])
    exec(code_of_card, {})  # noqa: S102 -- it is what is on trial
    assert given[0] in capfd.readouterr().out


@pytest.mark.parametrize(
    "method",
    [
        pytest.param({"type": "Full"}, marks=pytest.mark.slow),
        {"type": "LoRA"},
        pytest.param({"type": "FeatureExtraction"}, marks=pytest.mark.slow),
        pytest.param(HIDDEN, marks=pytest.mark.slow),
    ],
    ids=["Full", "LoRA", "FeatureExtraction", "hidden"],
)
def test_training_goes_on_where_it_was(method: dict[str, Any], cli: Make, job: Make) -> None:
    parent = run(cli, job, "first", HIDDEN, **TRAINED)
    child = run(cli, job, "second", method, parent.folder.as_uri(), **UNTRAINED)
    assert losses(child)[0] == pytest.approx(min(losses(parent)), rel=1e-4)
    again = run(cli, job, "third", {"type": "Full"}, child.folder.as_uri(), **UNTRAINED)
    assert losses(again)[0] == pytest.approx(min(losses(parent)), rel=1e-4)


def test_a_task_without_labels_forgets_it(cli: Make, job: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    parent = run(cli, job, "first", HIDDEN, **UNTRAINED)
    model = from_pretrained(AutoModelForMaskedLM, parent.folder / "model")
    model.save_pretrained(tmp_path / "masked")
    assert "head_hidden_layer" not in json.loads((tmp_path / "masked/config.json").read_text())
