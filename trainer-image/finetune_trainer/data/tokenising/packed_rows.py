"""Rows packed into one sequence, without padding."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens


class PackedRows:
    """Tokenised texts, those of a batch one after the other, the longest first."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row in tokens, [n]."""
        return self._tokens.lengths

    def in_order(self, rows: Rows) -> Rows:
        """The rows as they are packed: by falling length, so that those of equal length are side by side."""
        return rows[np.argsort(-self.lengths[rows], kind="stable")]

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`input_ids`, `position_ids`, which begin at 0 with each row, and `labels`, each [1, tokens].

        The first token of a row has no label: the token before it is of another row.
        """
        tokens, rows = self._tokens, self.in_order(rows)
        places = np.concatenate([np.arange(tokens.offsets[row], tokens.offsets[row + 1]) for row in rows])
        lengths = self.lengths[rows]
        starts = np.cumsum(lengths) - lengths
        packed = {"input_ids": tokens.ids[places], "position_ids": np.arange(len(places)) - np.repeat(starts, lengths)}
        if tokens.labels is not None:
            packed["labels"] = tokens.labels[places]
            packed["labels"][starts] = IGNORE_INDEX
        return {name: torch.from_numpy(values.astype(np.int64))[None] for name, values in packed.items()}
