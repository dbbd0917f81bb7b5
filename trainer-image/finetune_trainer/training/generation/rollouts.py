"""Rollouts: prompts with sampled answers, token log-probabilities, entropies and KL divergence from a reference."""

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

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.collate import RowSource, TokenRows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import Outputs, run_rows
from finetune_trainer.training.speedups.labelled_logits import LabelledLogits, labelled_logits

Ids = NDArray[np.int64]
ReferencePolicy = Callable[[nn.Module, dict[str, Tensor]], LabelledLogits]
"""Labelled logits under the base model, given the model in training and a batch; computes no gradient."""
DIVERGENCE, LENGTH = "divergence", "length"


class PromptDataset:
    """Prompts whose lengths count `samples` answers of up to `room` tokens each, so that token budgets hold."""

    def __init__(self, prompts: RowSource, samples: int, room: int) -> None:
        self._prompts, self._samples, self._room = prompts, samples, room

    @property
    def lengths(self) -> Ids:
        """Tokens of all texts of a row, at most, [n]."""
        return self._samples * (self._prompts.lengths + self._room)

    def collate(self, rows: Rows) -> dict[str, Tensor]:
        """Collated prompts without answers, [rows, longest]."""
        return self._prompts.collate(rows)


def prompt_ids(inputs: dict[str, Tensor]) -> list[Ids]:
    """The ids of each prompt in a collated batch, without padding."""
    ids, mask = inputs["input_ids"].cpu().numpy(), inputs["attention_mask"].cpu().numpy().astype(bool)
    return [row[kept] for row, kept in zip(ids, mask, strict=True)]


def prompts_with_answers(prompts: Sequence[Ids], answers: Sequence[Ids]) -> Tokens:
    """Prompts with their answers, of which only answers are labelled."""
    texts = [np.concatenate(pair) for pair in zip(prompts, answers, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    ids = np.concatenate(texts).astype(np.int32)
    labels = np.full_like(ids, IGNORE_INDEX)
    for end, answer in zip(offsets[1:], answers, strict=True):
        labels[end - len(answer) : end] = answer
    return Tokens(ids, offsets, np.diff(offsets).astype(np.int32), None, labels)


def answer_batch(prompts: Sequence[Ids], answers: Sequence[Ids], pad_id: int) -> dict[str, Tensor]:
    """The same as one batch, padded on the right: `input_ids`, `attention_mask` and `labels`."""
    return TokenRows(prompts_with_answers(prompts, answers), pad_id).collate(np.arange(len(prompts)))


@dataclass(frozen=True)
class TokenLogProbs:
    """Token log-probabilities of answers; each tensor is [texts, length], 0 outside of answers."""

    log_probabilities: Tensor
    counted: Tensor
    """1 for each token of an answer."""


def token_logprobs(seen: LabelledLogits, temperature: float = 1.0) -> TokenLogProbs:
    """Log-probabilities of the tokens of answers at a temperature."""
    return TokenLogProbs(seen.spread(-seen.losses(temperature=temperature)), seen.mask.float())


@torch.no_grad()
def entropies(seen: LabelledLogits, temperature: float) -> Tensor:
    """Sum of the entropies of the next token over all answers, in nats, a scalar."""
    return seen.each(lambda logits, _labels: _entropy(logits / temperature)).sum()


def _entropy(logits: Tensor) -> Tensor:
    known = functional.log_softmax(logits, dim=-1)
    return -(known.exp() * known).sum(dim=-1)


def kl_divergence(
    model: nn.Module, reference: ReferencePolicy, rows: RowSource, monitor: Monitor | None = None
) -> Outputs:
    """The model's KL divergence from the reference, exact at every position, over the whole vocabulary.

    As `divergence` [n], in nats, summed over the tokens of each answer, and their number as `length` [n].
    """

    def look(batch: dict[str, Tensor]) -> Outputs:
        before, now = reference(model, batch), labelled_logits(model, batch, shift=True)
        pairs = zip(now.chunks(), before.chunks(), strict=True)
        divergences = torch.cat([_divergence(one, other) for (one, _), (other, _) in pairs])
        return {
            DIVERGENCE: now.row_sums(divergences.double()).clamp(min=0).cpu().numpy(),
            LENGTH: now.mask.sum(dim=1).cpu().numpy(),
        }

    return run_rows(model, rows, look, monitor)


def _divergence(now: Tensor, before: Tensor) -> Tensor:
    one, other = functional.log_softmax(now, dim=-1), functional.log_softmax(before, dim=-1)
    return (one.exp() * (one - other)).sum(dim=-1)


def reference_policy_of(model: nn.Module) -> ReferencePolicy:
    """A frozen reference policy, callable during training.

    An adapter is switched off for that; a model that is trained itself is copied, which takes its memory once more.
    Called in the precision that the model will be trained in, which a copy keeps to.
    """
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return _Copy(model)
    return _bare if model.active_peft_config.is_prompt_learning else _switched_off


@torch.no_grad()
def _bare(model: Any, batch: dict[str, Tensor]) -> LabelledLogits:
    return labelled_logits(model.get_base_model(), batch, shift=True).within(torch.no_grad)


@torch.no_grad()
def _switched_off(model: Any, batch: dict[str, Tensor]) -> LabelledLogits:
    with model.disable_adapter():
        seen = labelled_logits(model, batch, shift=True)
    return seen.within(model.disable_adapter).within(torch.no_grad)


class _Copy:
    """A frozen copy of a model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = without_dropout(deepcopy(model)).requires_grad_(requires_grad=False).eval()
        kind = next(model.parameters()).device.type
        self._precision = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    @torch.no_grad()
    def __call__(self, _model: nn.Module, batch: dict[str, Tensor]) -> LabelledLogits:
        with self._autocast():
            return labelled_logits(self._model, batch, shift=True).within(torch.no_grad)

    def _autocast(self) -> AbstractContextManager[object]:
        kind, dtype, enabled = self._precision
        return torch.autocast(kind, dtype=dtype, enabled=enabled)
