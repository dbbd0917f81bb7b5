"""By hand: tags of words, the first token of each word labelled, padded by batch, the best epoch kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from quality.by_hand.best_epoch import EVALUATION_ROWS, NOT_COUNTED, adapted, train
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForTokenClassification, AutoTokenizer, set_seed

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.evaluation.tagged import TaggedRows


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns F1 of the entities and the loss of a word on the test rows."""
    set_seed(spec.training.seed)
    tokenizer, limit = AutoTokenizer.from_pretrained(folder), resolve(spec).max_length
    model = adapted(
        AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(data.labels.names), dtype=torch.float32),
        spec,
        "TOKEN_CLS",
        ["classifier"],
    )
    if spec.method.type == "FeatureExtraction":
        model.base_model.requires_grad_(requires_grad=False)
    names, rows = data.labels.names, data.splits["train"]

    def loss(batch: Tensor) -> Tensor:
        encoded, labels = _batch(rows, batch.tolist(), tokenizer, names, limit)
        logits = model(**encoded).logits
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=NOT_COUNTED)

    def measured(split: str) -> dict[str, float]:
        return _measured(model, data.splits[split], tokenizer, names, limit)

    train(model, len(rows), spec, loss, lambda: measured("validation")["evalLoss"])
    return measured("test")


def _batch(
    rows: Examples, chosen: Sequence[int], tokenizer: Any, names: Sequence[str], limit: int
) -> tuple[Any, Tensor]:
    """Inputs, and the number of the tag at the first token of each word [rows, tokens]."""
    words = [list(rows.words[row]) for row in chosen]
    encoded = tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=limit, padding=True, return_tensors="pt"
    )
    labels = torch.full(encoded["input_ids"].shape, NOT_COUNTED)
    for at, row in enumerate(chosen):
        tags = rows.labels[row]
        before = None
        for position, word in enumerate(encoded.word_ids(at)):
            if word is not None and word != before:
                labels[at, position] = names.index(tags[word])  # type: ignore[index]  # a tuple of tags
            before = word
    return encoded, labels


@torch.no_grad()
def _measured(model: Any, rows: Examples, tokenizer: Any, names: Sequence[str], limit: int) -> dict[str, float]:
    model.eval()
    total, counted, predicted = 0.0, 0, list[tuple[str, ...]]()
    for start in range(0, len(rows), EVALUATION_ROWS):
        chosen = range(start, min(len(rows), start + EVALUATION_ROWS))
        encoded, labels = _batch(rows, chosen, tokenizer, names, limit)
        logits, is_counted = model(**encoded).logits, labels != NOT_COUNTED
        total += functional.cross_entropy(logits[is_counted], labels[is_counted], reduction="sum").item()
        counted += int(is_counted.sum())
        best = logits.argmax(-1)
        for at, row in enumerate(chosen):
            tags = [names[number] for number in best[at][is_counted[at]].tolist()]
            predicted.append(tuple(tags + ["O"] * (len(rows.words[row]) - len(tags))))
    return {"f1": TaggedRows(rows, predicted).metrics([])["f1"], "evalLoss": total / counted}
