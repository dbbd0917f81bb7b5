"""By hand: T5 answers questions about passages, every row padded to the limits, the best state by validation loss kept.

What tutorials get wrong is right here: the passage is cut, never the question; padding of the answers is not learned;
no step is made while validating.
"""

from pathlib import Path
from typing import Any

import torch
from recipes.epochs import train_and_keep_best
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, set_seed

from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.data.tokenising.seq2seq_tokens import source_text
from finetune_trainer.evaluation.generated_text import all_references, text_metrics

NOT_COUNTED = -100
EVALUATION_ROWS = 2
Batches = DataLoader[Any]


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns the figures on the test rows."""
    set_seed(spec.training.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    batches = {split: _batches(data, split, tokenizer, spec) for split in ("train", "validation", "test")}

    def loss(batch: list[Tensor]) -> Tensor:
        ids, mask, labels = batch
        lost: Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return lost

    train_and_keep_best(model, batches["train"], loss, lambda: _loss(model, batches["validation"]), spec.training)
    rows = data.splits["test"]
    answers = text_metrics(_answers(model, tokenizer, batches["test"], spec), all_references(rows))
    return {"evalLoss": _loss(model, batches["test"]), "f1": answers["f1"], "exactMatch": answers["exactMatch"]}


def _batches(data: Prepared, split: str, tokenizer: Any, spec: Spec) -> Batches:
    rows = data.splits[split]
    assert rows.pairs is not None  # noqa: S101 -- the recipe's rows have passages
    asked = [source_text(question, passage) for question, passage in zip(rows.texts, rows.pairs, strict=True)]
    fixed = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    inputs = tokenizer(asked, max_length=spec.data.max_length, **fixed)
    outputs = tokenizer([str(label) for label in rows.labels], max_length=spec.data.max_target_length, **fixed)
    labels = outputs["input_ids"].masked_fill(outputs["attention_mask"] == 0, NOT_COUNTED)
    size = spec.training.batch_size if split == "train" else EVALUATION_ROWS
    dataset = TensorDataset(inputs["input_ids"], inputs["attention_mask"], labels)
    return DataLoader(dataset, batch_size=size, shuffle=split == "train")


@torch.no_grad()
def _loss(model: Any, batches: Batches) -> float:
    """Mean loss of a token of the answers."""
    model.eval()
    total, tokens = 0.0, 0
    for ids, mask, labels in batches:
        logits = model(input_ids=ids, attention_mask=mask, labels=labels).logits
        total += functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum").item()
        tokens += int((labels != NOT_COUNTED).sum())
    return total / tokens


@torch.no_grad()
def _answers(model: Any, tokenizer: Any, batches: Batches, spec: Spec) -> list[str]:
    model.eval()
    asked = spec.evaluation.generation
    written: list[str] = []
    for ids, mask, _labels in batches:
        made = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=asked.max_new_tokens,
            num_beams=asked.num_beams,
            no_repeat_ngram_size=asked.no_repeat_ngram_size,
            early_stopping=asked.early_stopping,
        )
        written += tokenizer.batch_decode(made, skip_special_tokens=True)
    return written
