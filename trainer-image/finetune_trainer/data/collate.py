"""What is fed to a model: rows that can be put together to a batch of tensors."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_trainer.data.batches import Rows
from finetune_trainer.data.tokens import Tokens


class RowSource(Protocol):
    """Rows by number, with a length each."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row in tokens, [n]."""

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """Model inputs of some rows; the first dimension of each tensor is the row."""


class TokenRows:
    """Tokenised texts, padded only to the longest of the batch, on the right."""

    def __init__(self, tokens: Tokens, pad_id: int) -> None:
        self._tokens, self._pad_id, self._lengths = tokens, pad_id, tokens.lengths

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row in tokens, [n]."""
        return self._lengths

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (and `token_type_ids` for pairs), each [rows, longest]."""
        lengths = self._lengths[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]
        batch = {"input_ids": self._padded(self._tokens.ids, rows, mask, self._pad_id)}
        batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        if self._tokens.types is not None:
            batch["token_type_ids"] = self._padded(self._tokens.types, rows, mask, 0)
        return batch

    def _padded(self, values: NDArray[np.int32], rows: Rows, mask: NDArray[np.bool_], fill: int) -> Tensor:
        padded = np.full(mask.shape, fill, np.int64)
        starts, ends = self._tokens.offsets[rows], self._tokens.offsets[rows + 1]
        padded[mask] = np.concatenate([values[start:end] for start, end in zip(starts, ends, strict=True)])
        return torch.from_numpy(padded)


class FeatureRows:
    """Vectors that a frozen base made once, [n, hidden]."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    @property
    def lengths(self) -> NDArray[np.int64]:
        """All rows are one position long."""
        return np.ones(len(self.features), np.int64)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`features`, [rows, hidden]."""
        return {"features": self.features[torch.from_numpy(rows)]}
