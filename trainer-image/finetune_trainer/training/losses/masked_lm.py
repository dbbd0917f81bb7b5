"""Masked-language-modelling loss: dynamic masking and cross-entropy on masked tokens (BERT, arXiv:1810.04805)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

MASKING_RATE = 0.15
"""Share of the labelled tokens that are predicted."""
_HIDDEN, _CHANGED = 0.8, 0.9
"""Cumulative shares of these: 80 % become the mask token, 10 % a random token, 10 % stay."""


def masked_token_counts(counted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of predicted tokens of each row [n], from that of its labelled tokens; at least one where any is."""
    wanted: NDArray[np.int64] = np.maximum(1, np.rint(MASKING_RATE * counted)).astype(np.int64)
    return np.minimum(counted, wanted)


def mask_tokens(
    batch: dict[str, Tensor], mask_id: int, vocabulary: int, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """The batch with masked `input_ids`, and `labels` on masked tokens alone, chosen of labelled ones, [rows, length].

    `mask_id` is the mask token, `vocabulary` the number of ids for random replacement. Random numbers come from
    `generator`, by default torch's own.
    """
    labels, ids = batch["labels"], batch["input_ids"]
    free = (labels != IGNORE_INDEX).cpu()
    dice = torch.rand(free.shape, generator=generator).masked_fill(~free, 2.0)
    wanted = torch.from_numpy(masked_token_counts(free.sum(dim=1).numpy()))
    chosen = dice.argsort(dim=1).argsort(dim=1) < wanted[:, None]
    fate = torch.rand(free.shape, generator=generator)
    others = torch.randint(vocabulary, free.shape, generator=generator).to(ids.device)
    chosen, fate = chosen.to(ids.device), fate.to(ids.device)
    hidden = torch.where(chosen & (fate < _HIDDEN), mask_id, ids)
    hidden = torch.where(chosen & (fate >= _HIDDEN) & (fate < _CHANGED), others, hidden)
    return {**batch, "input_ids": hidden, "labels": torch.where(chosen, labels, IGNORE_INDEX)}


class MaskedLMLoss:
    """Cross-entropy over tokens that are masked anew in every step (dynamic masking), by torch's default generator."""

    def __init__(self, tokens: Tokens, mask_id: int, vocabulary: int, label_smoothing: float = 0.0) -> None:
        self._chosen, self._mask_id, self._vocabulary = masked_token_counts(tokens.counted), mask_id, vocabulary
        self._smoothing = label_smoothing

    def to(self, _device: torch.device) -> "MaskedLMLoss":
        """See `Loss.to`."""
        return self

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`: the number of masked tokens, whichever are drawn."""
        return float(max(1, self._chosen[rows].sum()))

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:  # noqa: ARG002 -- as all losses
        """See `Loss.total`."""
        hidden = mask_tokens(inputs, self._mask_id, self._vocabulary)
        return labelled_logits(model, hidden, shift=False).losses(self._smoothing).sum()
