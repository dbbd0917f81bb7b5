"""By hand: LoRA adapters with PEFT and `Trainer`, padded by batch, with early stopping.

The learning rate is chosen from a few on the validation rows; the test rows are looked at once.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType, get_peft_model
from plain_trainer import encode, measure, quiet_arguments
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    set_seed,
)

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared

RATES = (1e-3, 3e-3)
"""The grid; both sides go through it."""


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder` at each rate; returns the best one's figures on the test rows."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    limit = resolve(spec).max_length
    best: tuple[float, Any] = (float("inf"), None)
    for rate in RATES:
        model = _train(spec, data, folder, tokenizer, rate)
        held_out = measure(model, data, tokenizer, limit, "validation")["evalLoss"]
        best = min(best, (held_out, model), key=lambda one: one[0])
    return measure(best[1], data, tokenizer, limit)


def _train(spec: Spec, data: Prepared, folder: Path, tokenizer: Any, rate: float) -> Any:
    training, lora, limit = spec.training, spec.method.lora, resolve(spec).max_length
    assert lora is not None  # noqa: S101 -- the recipe has it
    set_seed(training.seed)
    model = get_peft_model(
        AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(data.labels.names), dtype=torch.float32
        ),
        LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=lora.rank,
            lora_alpha=int(lora.alpha),
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
        ),
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = quiet_arguments(
            Path(scratch),
            num_train_epochs=training.epochs or 0,
            learning_rate=rate,
            per_device_train_batch_size=training.batch_size or 0,
            per_device_eval_batch_size=64,
            weight_decay=training.weight_decay,
            warmup_steps=training.warmup_ratio,
            seed=training.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=encode(data, "train", tokenizer, limit, padded=False),
            eval_dataset=encode(data, "validation", tokenizer, limit, padded=False),
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[EarlyStoppingCallback(training.early_stopping.patience)],
            processing_class=tokenizer,
        )
        trainer.train()
    return model
