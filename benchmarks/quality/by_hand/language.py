"""By hand: a language model on raw text, joined and cut into blocks, or on prompts with answers, padded by batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from quality.by_hand.best_epoch import EVALUATION_ROWS, NOT_COUNTED, adapted, train
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared

Row = tuple[list[int], list[int]]
"""Ids, and those of them that are learned, the others `NOT_COUNTED`."""


def by_hand(spec: Spec, data: Prepared, folder: Path) -> dict[str, float]:
    """Train the model in `folder`; returns the loss of a token and the share that is foretold on the test rows."""
    set_seed(spec.training.seed)
    tokenizer, limit = AutoTokenizer.from_pretrained(folder), resolve(spec).max_length
    model = adapted(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), spec, "CAUSAL_LM")
    encode = _answers if spec.data.columns.completion else _blocks
    rows = {split: encode(examples, tokenizer, limit) for split, examples in data.splits.items()}

    def loss(batch: Tensor) -> Tensor:
        logits, labels = _shifted(model, [rows["train"][row] for row in batch.tolist()])
        return functional.cross_entropy(logits, labels, ignore_index=NOT_COUNTED)

    train(model, len(rows["train"]), spec, loss, lambda: _measured(model, rows["validation"])["evalLoss"])
    return _measured(model, rows["test"])


def _blocks(examples: Examples, tokenizer: Any, limit: int) -> list[Row]:
    """All texts one after the other, cut into blocks of `limit` tokens."""
    ids = [one for text in examples.texts for one in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    return [(ids[start : start + limit], ids[start : start + limit]) for start in range(0, len(ids) - 1, limit)]


def _answers(examples: Examples, tokenizer: Any, limit: int) -> list[Row]:
    """Each prompt with its answer, of which the answer and its end are learned."""
    rows = []
    for prompt, answer in zip(examples.texts, examples.labels, strict=True):
        asked = tokenizer(f"{prompt}\n")["input_ids"]
        answered = [*tokenizer(str(answer), add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        asked = asked[: max(1, limit - len(answered))]
        answered = answered[: limit - len(asked)]
        rows.append(([*asked, *answered], [*[NOT_COUNTED] * len(asked), *answered]))
    return rows


def _shifted(model: Any, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Logits [tokens, vocabulary] beside the tokens that they are to foretell, padded by batch."""
    ids, labels = (
        pad_sequence([torch.tensor(row[part]) for row in rows], batch_first=True, padding_value=filler)
        for part, filler in ((0, 0), (1, NOT_COUNTED))
    )
    mask = pad_sequence([torch.ones(len(row[0]), dtype=torch.long) for row in rows], batch_first=True)
    logits = model(input_ids=ids, attention_mask=mask).logits
    return logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()


@torch.no_grad()
def _measured(model: Any, rows: Sequence[Row]) -> dict[str, float]:
    model.eval()
    total, right, counted = 0.0, 0, 0
    for start in range(0, len(rows), EVALUATION_ROWS):
        logits, labels = _shifted(model, rows[start : start + EVALUATION_ROWS])
        total += functional.cross_entropy(logits, labels, ignore_index=NOT_COUNTED, reduction="sum").item()
        right += int((logits.argmax(-1) == labels).sum())
        counted += int((labels != NOT_COUNTED).sum())
    return {"evalLoss": total / counted, "tokenAccuracy": right / counted}
