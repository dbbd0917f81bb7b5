"""Collation of rows into batches of tensors."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens


class RowSource(Protocol):
    """Dataset of rows by index, each with a length."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row in tokens, [n]."""

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """Model inputs of some rows; the first dimension of each tensor is the row."""


class TokenRows:
    """Tokenised texts, padded only to the longest of the batch, on the right.

    Texts to be written follow a decoder's first token, `start_id`; it may be None where there are none.
    """

    def __init__(self, tokens: Tokens, pad_id: int, start_id: int | None = None) -> None:
        self._tokens, self._pad_id, self._start_id = tokens, pad_id, start_id
        self._lengths = tokens.lengths if tokens.outputs is None else tokens.lengths + tokens.outputs.lengths

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each row in tokens, target tokens included, [n]."""
        return self._lengths

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask`; `token_type_ids` and `labels` where there are some; each [rows, longest].

        With texts to be written, `labels` are their tokens and `decoder_input_ids` the ones before, [rows, longest].
        """
        tokens = self._tokens
        mask = _mask(tokens, rows)
        batch = {"input_ids": _padded(tokens, tokens.ids, rows, mask, self._pad_id)}
        batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        if tokens.types is not None:
            batch["token_type_ids"] = _padded(tokens, tokens.types, rows, mask, 0)
        if tokens.labels is not None:
            batch["labels"] = _padded(tokens, tokens.labels, rows, mask, IGNORE_INDEX)
        if tokens.outputs is not None:
            batch |= self._outputs(tokens.outputs, rows)
        return batch

    def _outputs(self, outputs: Tokens, rows: Rows) -> dict[str, Tensor]:
        mask = _mask(outputs, rows)
        before = _padded(outputs, outputs.ids, rows, mask, self._pad_id).roll(1, dims=1)
        before[:, 0] = self._pad_id if self._start_id is None else self._start_id
        return {"labels": _padded(outputs, outputs.ids, rows, mask, IGNORE_INDEX), "decoder_input_ids": before}


def _mask(tokens: Tokens, rows: Rows) -> NDArray[np.bool_]:
    lengths = tokens.lengths[rows]
    return np.arange(lengths.max()) < lengths[:, None]


def _padded(tokens: Tokens, values: NDArray[np.int32], rows: Rows, mask: NDArray[np.bool_], fill: int) -> Tensor:
    padded = np.full(mask.shape, fill, np.int64)
    starts, ends = tokens.offsets[rows], tokens.offsets[rows + 1]
    padded[mask] = np.concatenate([values[start:end] for start, end in zip(starts, ends, strict=True)])
    return torch.from_numpy(padded)


class SeveralTexts:
    """Rows of several texts each, which `texts` stores consecutively."""

    def __init__(self, texts: RowSource, a_row: int) -> None:
        self._texts, self._a_row = texts, a_row

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Padded tokens of a row by itself: its longest text times the number of texts, [n]."""
        longest: NDArray[np.int64] = self._texts.lengths.reshape(-1, self._a_row).max(axis=1)
        return longest * self._a_row

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """The first texts of all rows, then the second ones, and so on: [texts per row * rows, ...]."""
        return self._texts.collate(np.concatenate([rows * self._a_row + place for place in range(self._a_row)]))


class FeatureRows:
    """Cached vectors of a frozen base, [n, hidden]."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Ones: a row is a single position, [n]."""
        return np.ones(len(self.features), np.int64)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`features`, [rows, hidden]."""
        return {"features": self.features[torch.from_numpy(rows)]}


class WordFeatureRows:
    """Cached word vectors of a frozen base, [words of all rows, hidden]; row i has `counts[i]` of them.

    `tokens` are those that the vectors were made from; their labels, one a word, come along.
    """

    def __init__(self, features: Tensor, counts: NDArray[np.int64], tokens: Tokens) -> None:
        starts = np.concatenate([[0], np.cumsum(counts)])
        labels = np.zeros(0, np.int32) if tokens.labels is None else tokens.labels
        # One label a vector, as if the words were all the tokens there are.
        labels = labels[labels != IGNORE_INDEX]
        self._features, self._words = features, Tokens(labels, starts, counts.astype(np.int32), labels=labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of words of each row, at least one, [n]."""
        return np.maximum(1, self._words.lengths)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """`features` [rows, words, hidden] and `labels` [rows, words], padded on the right."""
        mask = np.arange(self.lengths[rows].max()) < self._words.lengths[rows][:, None]
        features = self._features.new_zeros(*mask.shape, self._features.shape[1])
        starts, ends = self._words.offsets[rows], self._words.offsets[rows + 1]
        places = np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])
        features[torch.from_numpy(mask)] = self._features[torch.from_numpy(places)]
        return {"features": features, "labels": _padded(self._words, self._words.ids, rows, mask, IGNORE_INDEX)}
