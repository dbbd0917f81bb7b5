"""Warnings about tokenised preference pairs: truncation, identical pairs, length bias."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.data_report import DataReport
from finetune_api.failures import DataEmpty
from finetune_trainer.data.tokenising.learned import first_row
from finetune_trainer.data.tokenising.tokens import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TELLING = 0.65
"""A share of pairs with the longer answer on the same side that a model can live on."""
_ENOUGH = 30


def describe_pairs(report: DataReport, train: Tokens, tokenizer: "PreTrainedTokenizerBase") -> DataReport:
    """The data report with the first chosen answer as the model reads it, and with warnings.

    Raises `DataEmpty` where nothing is left that tells the answers of a pair apart.
    """
    same = same_pairs(train)
    if same == len(train) // 2:
        message = "within data.maxLength the chosen and the rejected answer of every pair are the same"
        raise DataEmpty(message, where="spec.data.train", hint="raise data.maxLength: answers lose their end")
    warnings = [*report.warnings, *_about_length(train, same)]
    sample = first_row(train, tokenizer) if train.labels is not None else []
    return report.model_copy(update={"warnings": warnings, "sample": sample})


def same_pairs(tokens: Tokens) -> int:
    """Number of pairs with identical tokens: their answers differ only beyond the limit."""
    texts = np.split(tokens.ids, tokens.offsets[1:-1])
    return sum(np.array_equal(first, second) for first, second in zip(texts[::2], texts[1::2], strict=True))


def _about_length(train: Tokens, same: int) -> Iterator[str]:
    cut = int((train.full_lengths > train.lengths).reshape(-1, 2).any(axis=1).sum())
    limit = int(train.lengths.max())
    if cut:
        yield (
            f"{cut:,} training pairs are longer than {limit:,} tokens (data.maxLength): prompts lose their middle, and"
            " answers that take most of it their end."
        )
    if same:
        yield f"{same:,} training pairs are the same within data.maxLength and teach nothing."
    lengths = train.full_lengths.reshape(-1, 2)
    longer, shorter = (int(count.sum()) for count in (lengths[:, 0] > lengths[:, 1], lengths[:, 0] < lengths[:, 1]))
    share = max(longer, shorter) / max(1, longer + shorter)
    if longer + shorter >= _ENOUGH and share >= _TELLING:
        which = "longer" if longer > shorter else "shorter"
        yield (
            f"In {share:.0%} of the training pairs the chosen answer is the {which} one: a model may learn length"
            " before anything else. Compare its accuracy with this share."
        )
