"""`RolloutRows`: rows of a policy update, prompts with sampled answers, of which only the size is known."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.collate import RowSource


class RolloutRows:
    """A prompt with `samples` answers a row, all tokens of which are labelled; ids are zeros."""

    def __init__(self, prompts: RowSource, samples: int) -> None:
        self._prompts, self._samples = prompts, samples

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Padded tokens of a row, all its answers together, [n]."""
        return self._prompts.lengths

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """Ids, mask and labels of all answers, [rows * samples, longest]."""
        longest = -(-int(self.lengths[rows].max()) // self._samples)
        ids = torch.zeros(len(rows) * self._samples, longest, dtype=torch.long)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
