"""The recipes of examples/recipes train with small models: the settings of tutorials, on the rows beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "recipes"
STORIES = ROOT / "tests" / "models" / "stories260k"
Make = Callable[..., Any]


def run(cli: Make, recipe: str, model: Path, output: Path, **changes: Any) -> Any:
    changes = {"model.uri": model.as_uri(), "output.uri": output.as_uri(), **changes}
    arguments = [part for path, value in changes.items() for part in ("--set", f"spec.{path}={value}")]
    ended = cli("run", RECIPES / f"{recipe}.yaml", "--json", *arguments)
    assert ended.code == 0, ended.err
    return ended


def predicted(cli: Make, ended: Any, texts: list[str]) -> list[str]:
    answered = cli("predict", ended.folder, "-", "--format", "jsonl", stdin="".join(f"{t}\n" for t in texts).encode())
    assert answered.code == 0, answered.err
    return [event["label"] for event in answered.events]


def falls(ended: Any) -> bool:
    """Whether the loss on the training rows ends clearly below where it began; a model this small learns by heart."""
    losses = [point.loss for point in ended.report.curves if point.loss is not None]
    few = max(1, len(losses) // 5)
    return bool(sum(losses[-few:]) < 0.9 * sum(losses[:few]))


def test_a_frozen_encoder(cli: Make, tiny_model: Make, tmp_path: Path) -> None:
    """The tutorial's rate is too small to learn anything from in so few steps, so this uses another."""
    small = {"data.maxLength": 60, "data.maxRows": 64, "training.learningRate": 0.01, "training.epochs": 60}
    ended = run(cli, "classify-with-a-frozen-encoder", tiny_model("bert"), tmp_path, **small)
    assert falls(ended)
    assert ended.report.parameters.trainable < ended.report.parameters.total
    splits = ended.report.data.splits
    assert splits["validation"].rows == splits["test"].rows == 120  # half of the 20 % that are not trained on, each
    assert set(predicted(cli, ended, ["A joy from beginning to end."])) <= {"0", "1"}


def test_sentiment_with_a_decoder(cli: Make, tmp_path: Path) -> None:
    small = {"data.maxRows": 24, "data.maxLength": 128, "training.learningRate": 0.003, "training.epochs": 10}
    ended = run(cli, "sentiment-with-gpt2", STORIES, tmp_path, **small)
    report = ended.report
    assert report.data.splits["test"].rows == 1000
    assert report.evaluated_on == "test"
    assert falls(ended)
    assert set(predicted(cli, ended, ["So happy today!"])) <= {"negative", "neutral", "positive"}


def test_lora_on_queries_and_values(cli: Make, tiny_model: Make, tmp_path: Path) -> None:
    small = {"data.maxLength": 60, "training.epochs": 2, "training.learningRate": 0.01}
    ended = run(cli, "classify-with-lora", tiny_model("distilbert"), tmp_path, **small)
    curve = [point.validation["evalLoss"] for point in ended.report.curves if point.validation]
    assert min(curve[1:]) < curve[0]
    assert (ended.folder / "model/adapter_config.json").is_file()
    assert len(predicted(cli, ended, ["I was charged twice."])) == 1


def test_the_token_that_pads_is_masked_in_padding_only(tiny_classifier: Make, tiny_rows: Make) -> None:
    """GPT-2 pads with its end of text: where a text holds that token itself, the model still sees it."""
    from finetune_trainer.training.inference import predict_logits

    _, tokenizer, model = tiny_classifier("gpt2")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == model.config.pad_token_id
    end = tokenizer.eos_token
    texts = [f"The printer{end} was a joy", "The printer was a joy", "Our window broke on the first day so nobody came"]
    rows = tiny_rows(texts, tokenizer)
    batch = rows.collate(torch.arange(3).numpy())
    ids, mask = batch["input_ids"], batch["attention_mask"]
    own = (ids[0] == tokenizer.eos_token_id) & (mask[0] == 1)
    assert own.sum() == 1
    assert ids[0, mask[0] == 0].eq(tokenizer.eos_token_id).all()
    assert mask.diff(dim=1).le(0).all(), "padding is on the right"

    together = torch.from_numpy(predict_logits(model, rows))
    for row, text in enumerate(texts):
        alone = model.eval()(**tokenizer(text, return_tensors="pt")).logits[0]
        assert torch.allclose(together[row], alone, atol=1e-4), "what pads a batch changes nothing"
    assert not torch.allclose(together[0], together[1], atol=1e-3), "the token inside the text counts"


def test_what_decides_is_the_last_real_token(tiny_classifier: Make) -> None:
    """Where only the tokenizer knew the padding token, the head would look at the last position, which is padding."""
    _, tokenizer, model = tiny_classifier("gpt2")
    inputs = tokenizer("The printer was a joy", padding="max_length", max_length=32, return_tensors="pt")
    plain = tokenizer("The printer was a joy", return_tensors="pt")
    assert inputs["input_ids"].shape[1] > plain["input_ids"].shape[1]
    told, alone = model.eval()(**inputs).logits, model(**plain).logits
    assert torch.allclose(told, alone, atol=1e-4)
    model.config.pad_token_id = None
    assert not torch.allclose(model(**inputs).logits, alone, atol=1e-3)
