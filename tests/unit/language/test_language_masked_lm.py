"""Masked language modelling: how many tokens are hidden, what stands for them, and that chance can be repeated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.raw_tokens import tokenise_windows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.training.losses.masked_lm import MASKING_RATE, MaskedLMLoss, mask_tokens, masked_token_counts

MASK, VOCABULARY = 4, 1_000


def batch(rows: int, length: int, free: int) -> dict[str, torch.Tensor]:
    """Rows of distinct ids, of which the first `free` may be hidden."""
    ids = torch.arange(10, 10 + length).repeat(rows, 1)
    labels = torch.where(torch.arange(length) < free, ids, IGNORE_INDEX)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def test_the_promised_number_of_tokens_is_hidden_in_each_row() -> None:
    torch.manual_seed(1)
    hidden = mask_tokens(batch(64, 40, 30), MASK, VOCABULARY)
    chosen = hidden["labels"] != IGNORE_INDEX
    assert (chosen.sum(dim=1) == round(MASKING_RATE * 30)).all()
    assert not chosen[:, 30:].any()
    assert (hidden["labels"][chosen] == batch(64, 40, 30)["input_ids"][chosen]).all()
    untouched = ~chosen
    assert (hidden["input_ids"][untouched] == batch(64, 40, 30)["input_ids"][untouched]).all()


def test_eight_in_ten_are_hidden_one_is_changed_one_is_left() -> None:
    torch.manual_seed(1)
    given = batch(4_000, 20, 20)
    hidden = mask_tokens(given, MASK, VOCABULARY)
    chosen = hidden["labels"] != IGNORE_INDEX
    now, before = hidden["input_ids"][chosen], given["input_ids"][chosen]
    shares = [float(part.float().mean()) for part in (now == MASK, (now != MASK) & (now != before), now == before)]
    assert np.allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_a_short_text_teaches_one_token_and_an_empty_one_none() -> None:
    assert masked_token_counts(np.array([0, 1, 3, 10, 100])).tolist() == [0, 1, 1, 2, 15]
    hidden = mask_tokens(batch(3, 8, 0), MASK, VOCABULARY)
    assert (hidden["labels"] == IGNORE_INDEX).all()


def test_equal_states_of_chance_hide_equally() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (mask_tokens(batch(8, 40, 40), MASK, VOCABULARY)["input_ids"] for _ in range(2))
    torch.set_rng_state(state)
    assert torch.equal(first, mask_tokens(batch(8, 40, 40), MASK, VOCABULARY)["input_ids"])
    assert not torch.equal(first, second)


def test_the_weight_is_the_number_of_tokens_that_the_loss_sums(
    with_head: Callable[[str], Path], sentences: list[str]
) -> None:
    folder = with_head("bert")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokens = tokenise_windows(sentences, tokenizer, 32)
    rows, loss = (
        TokenRows(tokens, tokenizer.pad_token_id),
        MaskedLMLoss(tokens, tokenizer.mask_token_id, len(tokenizer)),
    )
    some = np.array([3, 7, 11])
    torch.manual_seed(5)
    hidden = mask_tokens(rows.collate(some), tokenizer.mask_token_id, len(tokenizer))
    labels = hidden.pop("labels")
    assert loss.weight(some) == int((labels != IGNORE_INDEX).sum())
    mean = torch.nn.functional.cross_entropy(model(**hidden).logits.flatten(0, 1), labels.flatten())
    torch.manual_seed(5)
    total = loss.total(model, rows.collate(some), some)
    assert torch.allclose(total / loss.weight(some), mean, atol=1e-5)
