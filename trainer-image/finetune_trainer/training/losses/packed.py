"""`PackedTokenLoss`: cross-entropy of packed rows, the same as of these rows one by one."""

from typing import Any

import torch
from torch import Tensor, nn

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.packed_rows import PackedRows
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.speedups.packed_attention import packed_settings


class PackedTokenLoss:
    """A `TokenLoss` over `PackedRows`, which tells attention where each row ends."""

    def __init__(self, loss: TokenLoss, rows: PackedRows) -> None:
        self._loss, self._rows = loss, rows

    def to(self, device: torch.device) -> "PackedTokenLoss":
        """See `Loss.to`."""
        return PackedTokenLoss(self._loss.to(device), self._rows)

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`."""
        return self._loss.weight(rows)

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """See `Loss.total`."""
        lengths = self._rows.lengths[self._rows.in_order(rows)].tolist()
        settings: dict[str, Any] = packed_settings(lengths, inputs["input_ids"].device)
        return self._loss.total(model, {**inputs, **settings}, rows)
