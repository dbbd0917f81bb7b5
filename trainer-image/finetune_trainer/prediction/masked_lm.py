"""`MaskedLM`: candidates for each mask in a text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.special_tokens import encode, special_tokens_of
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.training.inference import Outputs, run_rows
from finetune_trainer.training.speedups.labelled_logits import logits_at

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel

_SPELLINGS = ("[MASK]", "<mask>")
_CANDIDATES = 5
_IDS, _SCORES = "ids", "scores"


@dataclass(frozen=True)
class FilledText:
    """Candidates for the masks of one text."""

    text: str
    filled: str
    """The text with the likeliest token in each place."""
    candidates: tuple[tuple[tuple[str, float], ...], ...]
    """For each mask, tokens and their probabilities, the likeliest first."""

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        shown = [[{"token": token, "score": score} for token, score in mask] for mask in self.candidates]
        return {"text": self.text, "filled": self.filled, "candidates": shown}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: candidates of a mask joined by bars, masks by semicolons."""
        candidates = ";".join("|".join(token for token, _ in mask) for mask in self.candidates)
        return {"text": self.text, "filled": self.filled, "candidates": candidates}

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        shown = "; ".join(", ".join(f"{token} {score:.2f}" for token, score in mask[:3]) for mask in self.candidates)
        return {"text": self.text, "filled": self.filled, "candidates": shown}


def _best(logits: Tensor, _labels: Tensor) -> Tensor:
    """Ids of the likeliest tokens of each position and their probabilities, [positions, 2, candidates].

    As numbers in FP32, which holds ids below 2^24.
    """
    best = logits.softmax(dim=-1).topk(_CANDIDATES)
    return torch.stack([best.indices.float(), best.values], dim=1)


class MaskedLMPredictor:
    """A fine-tuned masked language model."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, self._column = tuned, tuned.settings.columns.text or "text"
        self._mask = str(tuned.tokenizer.mask_token)

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`."""
        return self._column

    def roles(self, _found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`."""
        return {"text": self._column}

    def read(self, row: Row) -> str | Bad:
        """See `Predictor.read`: the text with the model's own mask token."""
        text = cell_text(row, self._column, self._tuned.settings.clean)
        if isinstance(text, Bad):
            return text
        for spelling in _SPELLINGS:
            text = text.replace(spelling, self._mask)
        return text if self._mask in text else Bad(row.place, f"there is no {self._mask} to fill in")

    def predict(self, rows: Sequence[str]) -> Iterator[FilledText]:
        """See `Predictor.predict`. A text over the limit is cut around its first mask."""
        tokenizer, mask_id = self._tuned.tokenizer, int(self._tuned.tokenizer.mask_token_id)
        tokens = self._tokens(rows)
        outputs = run_rows(self._tuned.model, TokenRows(tokens, tokenizer.pad_token_id), self._look)
        for row, text in enumerate(rows):
            ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
            count = int((ids == mask_id).sum()) * _CANDIDATES
            names = [tokenizer.decode([int(token)]).strip() for token in outputs[_IDS][row][:count]]
            scores = [round(float(score), 6) for score in outputs[_SCORES][row][:count]]
            pairs = list(zip(names, scores, strict=True))
            masks = tuple(tuple(pairs[at : at + _CANDIDATES]) for at in range(0, count, _CANDIDATES))
            filled = text
            for mask in masks:
                filled = filled.replace(self._mask, mask[0][0], 1)
            yield FilledText(text, filled, masks)

    def _look(self, batch: dict[str, Tensor]) -> Outputs:
        """Top ids of each mask and their probabilities, [rows, masks * candidates]."""
        masked = batch["input_ids"] == self._tuned.tokenizer.mask_token_id
        seen = logits_at(self._tuned.model, batch, masked, batch["input_ids"])
        found = torch.split(seen.each(_best), masked.sum(dim=1).tolist())
        width = int(masked.sum(dim=1).max()) * _CANDIDATES
        ids, scores = torch.full((len(masked), width), -1), torch.full((len(masked), width), -1.0)
        for row, best in enumerate(found):
            count = len(best) * _CANDIDATES
            ids[row, :count], scores[row, :count] = best[:, 0].flatten().long().cpu(), best[:, 1].flatten().cpu()
        return {_IDS: ids.numpy(), _SCORES: scores.numpy()}

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        frame, mask_id = special_tokens_of(self._tuned.tokenizer), int(self._tuned.tokenizer.mask_token_id)
        room, rows = self._tuned.settings.max_length - frame.size, list[list[int]]()
        for ids in self._encoded(texts):
            start = max(0, min(ids.index(mask_id) - room // 2, len(ids) - room))
            rows.append([*frame.opening, *ids[start : start + room], *frame.closing])
        lengths = np.asarray([len(row) for row in rows], np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Tokens(np.asarray([token for row in rows for token in row], np.int32), offsets, lengths)

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of the texts; the masks are masks, whatever becomes of other special tokens that are spelled."""
        tokenizer = self._tuned.tokenizer
        if not self._tuned.settings.split_special_tokens:
            return encode(texts, tokenizer)
        parts = [self._bare(text).split(self._mask) for text in texts]
        ids = iter(encode([part for row in parts for part in row], text_tokenizer(tokenizer, split=True)))
        mask_id, rows = int(tokenizer.mask_token_id), list[list[int]]()
        for row in parts:
            first, *others = (next(ids) for _ in row)
            rows.append([*first, *(token for part in others for token in (mask_id, *part))])
        return rows

    def _bare(self, text: str) -> str:
        """The text without the spaces that the mask token takes for its own, as those of RoBERTa and ALBERT do."""
        mask = self._tuned.tokenizer.added_tokens_decoder[int(self._tuned.tokenizer.mask_token_id)]
        if mask.lstrip:
            text = re.sub(rf"\s+(?={re.escape(self._mask)})", "", text)
        return re.sub(rf"(?<={re.escape(self._mask)})\s+", "", text) if mask.rstrip else text
