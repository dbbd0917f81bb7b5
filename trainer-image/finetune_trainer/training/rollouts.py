"""Answers that a language model writes in order to learn from them, and their probabilities."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.data.course import Rows
from finetune_trainer.data.tokenising.collate import RowSource, TokenRows
from finetune_trainer.data.tokenising.tokens import NOT_COUNTED, Tokens
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.training.inference import Outputs, run_rows

Ids = NDArray[np.int64]
Reference = Callable[[nn.Module, dict[str, Tensor]], Tensor]
"""The logits of the model as it came, given the model as it is now and its inputs; computes no gradient."""
DIVERGENCE, LENGTH = "divergence", "length"


class PromptRows:
    """Prompts of which each stands for `samples` texts of up to `room` more tokens, so that batches have space."""

    def __init__(self, prompts: RowSource, samples: int, room: int) -> None:
        self._prompts, self._samples, self._room = prompts, samples, room

    @property
    def lengths(self) -> Ids:
        """Tokens of all texts of a row, at most, [n]."""
        return self._samples * (self._prompts.lengths + self._room)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """The prompts alone, [rows, longest]."""
        return self._prompts.collate(rows)


def prompt_ids(inputs: dict[str, Tensor]) -> list[Ids]:
    """The ids of each prompt in a collated batch, without padding."""
    ids, mask = inputs["input_ids"].cpu().numpy(), inputs["attention_mask"].cpu().numpy().astype(bool)
    return [row[kept] for row, kept in zip(ids, mask, strict=True)]


def answered(prompts: Sequence[Ids], answers: Sequence[Ids]) -> Tokens:
    """Prompts with their answers, which alone have labels."""
    texts = [np.concatenate(pair) for pair in zip(prompts, answers, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    ids = np.concatenate(texts).astype(np.int32)
    labels = np.full_like(ids, NOT_COUNTED)
    for end, answer in zip(offsets[1:], answers, strict=True):
        labels[end - len(answer) : end] = answer
    return Tokens(ids, offsets, np.diff(offsets).astype(np.int32), None, labels)


def answer_batch(prompts: Sequence[Ids], answers: Sequence[Ids], pad_id: int) -> dict[str, Tensor]:
    """The same as one batch, padded on the right: `input_ids`, `attention_mask` and `labels`."""
    return TokenRows(answered(prompts, answers), pad_id).collate(np.arange(len(prompts)))


@dataclass(frozen=True)
class Weighed:
    """What a model thinks of answers, token by token; each tensor is [texts, length - 1], 0 outside of answers."""

    log_probabilities: Tensor
    counted: Tensor
    """1 for each token of an answer."""


def weigh_answers(logits: Tensor, labels: Tensor, temperature: float = 1.0) -> Weighed:
    """Log-probabilities of the labels at a temperature; logits [texts, length, vocabulary]."""
    logits, labels = _foretelling(logits, labels), labels[:, 1:]
    losses = functional.cross_entropy(
        (logits.float() / temperature).flatten(0, 1), labels.flatten(), ignore_index=NOT_COUNTED, reduction="none"
    )
    return Weighed(-losses.view(labels.shape), (labels != NOT_COUNTED).float())


@torch.no_grad()
def entropies(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Sum of the entropies of the next token over all answers, in nats, a scalar. Row by row, to save memory."""
    logits, counted = _foretelling(logits, labels), labels[:, 1:] != NOT_COUNTED
    return torch.stack(
        [_entropy(row[kept].float() / temperature).sum() for row, kept in zip(logits, counted, strict=True)]
    ).sum()


def _entropy(logits: Tensor) -> Tensor:
    known = functional.log_softmax(logits, dim=-1)
    return -(known.exp() * known).sum(dim=-1)


def _foretelling(logits: Tensor, labels: Tensor) -> Tensor:
    """The logits of the positions before each label; soft prompts put positions of their own in front."""
    return logits[:, -labels.shape[1] :][:, :-1]


def diverge(model: nn.Module, reference: Reference, rows: RowSource, advance: Callable[[int], None]) -> Outputs:
    """The model's KL divergence from the reference, exact at every position, over the whole vocabulary.

    As `divergence` [n], in nats, summed over the tokens of each answer, and their number as `length` [n].
    """

    def look(batch: dict[str, Tensor]) -> Outputs:
        labels = batch.pop("labels")
        before = _foretelling(reference(model, batch), labels)
        now, counted = _foretelling(model(**batch).logits, labels), labels[:, 1:] != NOT_COUNTED
        sums = [_divergence(a[kept], b[kept]) for a, b, kept in zip(now, before, counted, strict=True)]
        return {
            DIVERGENCE: torch.stack(sums).double().cpu().numpy(),
            LENGTH: counted.sum(dim=1).cpu().numpy(),
        }

    return run_rows(model, rows, look, advance)


def _divergence(now: Tensor, before: Tensor) -> Tensor:
    one, other = (functional.log_softmax(logits.float(), dim=-1) for logits in (now, before))
    return (one.exp() * (one - other)).sum().clamp(min=0)


def reference_of(model: nn.Module) -> Reference:
    """What `model` says before it is trained, to be asked while it is.

    An adapter is switched off for that; a model that is trained itself is copied, which takes its memory once more.
    Called in the precision that the model will be trained in, which a copy keeps to.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return _Copy(model)
    return _bare if model.active_peft_config.is_prompt_learning else _switched_off


@torch.no_grad()
def _bare(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    logits: Tensor = model.get_base_model()(**inputs).logits
    return logits


@torch.no_grad()
def _switched_off(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    with model.disable_adapter():
        logits: Tensor = model(**inputs).logits
    return logits


class _Copy:
    """A frozen copy of a model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = without_dropout(deepcopy(model)).requires_grad_(requires_grad=False).eval()
        kind = next(model.parameters()).device.type
        self._precision = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    @torch.no_grad()
    def __call__(self, _model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        with self._autocast():
            logits: Tensor = self._model(**inputs).logits
        return logits

    def _autocast(self) -> AbstractContextManager[object]:
        kind, dtype, enabled = self._precision
        return torch.autocast(kind, dtype=dtype, enabled=enabled)
