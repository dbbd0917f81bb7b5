"""What the benchmarks compare with: what people write by hand with transformers' Trainer.

Each gets the same model, rows, seed, optimiser settings and adapter as our job.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from finetune_trainer.data import Examples, Prepared


@dataclass(frozen=True)
class Settings:
    """What all sides share."""

    model: Path
    method: str
    epochs: float
    learning_rate: float
    batch_size: int
    max_length: int
    seed: int
    max_steps: int = 0


@dataclass(frozen=True)
class Measured:
    """What one side did."""

    seconds: float
    samples_per_second: float
    accuracy: float


class EncodedRows(Dataset[dict[str, Any]]):
    """Rows for a `Trainer`."""

    def __init__(self, encoded: list[dict[str, Any]]) -> None:
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._encoded[index]


def train_by_hand(data: Prepared, settings: Settings, scratch: Path, *, padded: bool) -> Measured:
    """Train with `Trainer`: every row padded to `max_length`, or padded by batch with batches of like length."""
    set_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    model = _model(data, settings)
    arguments = quiet_arguments(
        scratch,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=64,
        weight_decay=0.01,
        warmup_steps=0.06,
        seed=settings.seed,
        train_sampling_strategy="random" if padded else "group_by_length",
        save_strategy="no",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=encode(data, "train", tokenizer, settings.max_length, padded=padded),
        data_collator=None if padded else DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    start = time.perf_counter()
    output = trainer.train()
    seconds = time.perf_counter() - start
    rows = (
        output.global_step * settings.batch_size if settings.max_steps else len(data.splits["train"]) * settings.epochs
    )
    return Measured(seconds, rows / seconds, measure(trainer.model, data, tokenizer, settings.max_length)["accuracy"])


def quiet_arguments(scratch: Path, **settings: Any) -> TrainingArguments:
    """Arguments of a `Trainer` that says nothing."""
    quiet = {"logging_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False}
    return TrainingArguments(output_dir=str(scratch), **quiet, **settings)


def _model(data: Prepared, settings: Settings) -> Any:
    model = AutoModelForSequenceClassification.from_pretrained(
        settings.model, num_labels=len(data.labels.names), dtype=torch.float32
    )
    if settings.method == "LoRA":
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear",
            modules_to_save=["pooler", "classifier"],
        )  # fmt: skip
        return get_peft_model(model, config)
    if settings.method == "FeatureExtraction":
        model.bert.embeddings.requires_grad_(requires_grad=False)
        model.bert.encoder.requires_grad_(requires_grad=False)
    return model


def encode(data: Prepared, split: str, tokenizer: Any, max_length: int, *, padded: bool) -> EncodedRows:
    """The rows of a split as a model takes them, each `max_length` tokens wide if `padded`."""
    examples = data.splits[split]
    encoded = tokenizer(
        examples.texts, truncation=True, max_length=max_length, padding="max_length" if padded else False
    )
    return EncodedRows(
        [
            {name: encoded[name][row] for name in encoded} | {"labels": int(examples.targets[row]), "length": len(ids)}
            for row, ids in enumerate(encoded["input_ids"])
        ]
    )


@torch.inference_mode()
def measure(model: Any, data: Prepared, tokenizer: Any, max_length: int, split: str = "test") -> dict[str, float]:
    """Accuracy and mean loss on the rows of a split, padded by batch."""
    model.eval()
    examples = data.splits[split]
    logits = []
    for start in range(0, len(examples), 64):
        texts = examples.texts[start : start + 64]
        batch = tokenizer(texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt")
        logits.append(model(**batch).logits)
    return figures(torch.cat(logits), examples)


def figures(logits: torch.Tensor, examples: Examples) -> dict[str, float]:
    """Accuracy and mean loss of `logits` [rows, labels]."""
    expected = torch.from_numpy(np.asarray(examples.targets))
    right = (logits.argmax(-1) == expected).float().mean().item()
    return {"accuracy": right, "evalLoss": functional.cross_entropy(logits, expected).item()}
