"""By hand: masked language modelling on pieces of text, padded by batch, with transformers' own collator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from quality.by_hand.best_epoch import EVALUATION_ROWS, NOT_COUNTED, adapted, train
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling, set_seed

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared

_EVALUATION_SEED = 1


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns the loss of a hidden token and the share that is right on the test rows."""
    set_seed(spec.training.seed)
    tokenizer, limit = AutoTokenizer.from_pretrained(folder), resolve(spec).max_length
    model = adapted(AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32), spec, None)
    rows = {split: _pieces(examples, tokenizer, limit) for split, examples in data.splits.items()}
    hide = DataCollatorForLanguageModeling(tokenizer)

    def loss(batch: Tensor) -> Tensor:
        inputs = hide([rows["train"][row] for row in batch.tolist()])
        return model(**inputs).loss  # type: ignore[no-any-return]  # transformers is untyped

    def measured(split: str) -> dict[str, float]:
        with torch.random.fork_rng([]):
            torch.manual_seed(_EVALUATION_SEED)  # the same tokens are hidden each time
            return _measured(model, rows[split], hide)

    train(model, len(rows["train"]), spec, loss, lambda: measured("validation")["evalLoss"])
    return measured("test")


def _pieces(examples: Examples, tokenizer: Any, limit: int) -> list[dict[str, list[int]]]:
    """Each text in pieces of at most `limit` tokens."""
    encoded = tokenizer(
        list(examples.texts),
        truncation=True,
        max_length=limit,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    names = ("input_ids", "attention_mask", "special_tokens_mask")
    return [{name: encoded[name][row] for name in names} for row in range(len(encoded["input_ids"]))]


@torch.no_grad()
def _measured(model: Any, rows: Sequence[dict[str, list[int]]], hide: Any) -> dict[str, float]:
    model.eval()
    total, right, counted = 0.0, 0, 0
    for start in range(0, len(rows), EVALUATION_ROWS):
        inputs = hide(list(rows[start : start + EVALUATION_ROWS]))
        labels = inputs.pop("labels")
        hidden = labels != NOT_COUNTED
        logits, wanted = model(**inputs).logits[hidden], labels[hidden]
        total += functional.cross_entropy(logits, wanted, reduction="sum").item()
        right += int((logits.argmax(-1) == wanted).sum())
        counted += len(wanted)
    return {"evalLoss": total / counted, "tokenAccuracy": right / counted}
