"""The recipes that the benchmarks compare with: what people write by hand with transformers' Trainer.

Each gets the same model, rows, seed, optimiser settings and adapter as our job.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from finetune_trainer.data import Prepared


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


class _Rows(Dataset[dict[str, Any]]):
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
    arguments = TrainingArguments(
        output_dir=str(scratch),
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
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_encode(data, "train", tokenizer, settings, padded=padded),
        data_collator=None if padded else DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    start = time.perf_counter()
    output = trainer.train()
    seconds = time.perf_counter() - start
    rows = (
        output.global_step * settings.batch_size if settings.max_steps else len(data.splits["train"]) * settings.epochs
    )
    return Measured(seconds, rows / seconds, _accuracy(trainer.model, data, tokenizer, settings))


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


def _encode(data: Prepared, split: str, tokenizer: Any, settings: Settings, *, padded: bool) -> _Rows:
    examples = data.splits[split]
    encoded = tokenizer(
        examples.texts, truncation=True, max_length=settings.max_length, padding="max_length" if padded else False
    )
    return _Rows(
        [
            {name: encoded[name][row] for name in encoded} | {"labels": int(examples.targets[row]), "length": len(ids)}
            for row, ids in enumerate(encoded["input_ids"])
        ]
    )


@torch.inference_mode()
def _accuracy(model: Any, data: Prepared, tokenizer: Any, settings: Settings) -> float:
    model.eval()
    examples = data.splits["test"]
    right = 0
    for start in range(0, len(examples), 64):
        part = slice(start, start + 64)
        batch = tokenizer(
            examples.texts[part], truncation=True, max_length=settings.max_length, padding=True, return_tensors="pt"
        )
        right += int((model(**batch).logits.argmax(-1).numpy() == np.asarray(examples.targets[part])).sum())
    return right / len(examples)
