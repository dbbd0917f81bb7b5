"""Logits of labelled tokens only.

The projection onto the vocabulary is often half of a step, and its logits most of the memory. Prompts, padding and
what is not hidden need neither, so the other positions are taken out just before the model's output layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX


@dataclass(frozen=True)
class LabelledLogits:
    """Logits at labelled tokens, row after row."""

    logits: Tensor
    """[counted, vocabulary], in the precision of the model."""
    labels: Tensor
    """Ids of the tokens, [counted]."""
    mask: Tensor
    """Which positions they are of, [rows, length]: with `shift` those before the tokens."""

    def losses(self, label_smoothing: float = 0.0, temperature: float = 1.0) -> Tensor:
        """Cross-entropy of each token at a temperature, in nats, [counted]."""
        logits = self.logits.float() if temperature == 1 else self.logits.float() / temperature
        return functional.cross_entropy(logits, self.labels, label_smoothing=label_smoothing, reduction="none")

    def row_sums(self, values: Tensor) -> Tensor:
        """Sums of token values [counted] by row, [rows], in a fixed order, unlike `index_add` on a GPU."""
        return self.spread(values).sum(dim=1)

    def spread(self, values: Tensor) -> Tensor:
        """Token values [counted] at their positions, 0 elsewhere, [rows, length]."""
        return values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)

    def by_row(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and labels of each row, one at a time to bound memory."""
        counts: list[int] = self.mask.sum(dim=1).tolist()
        return zip(torch.split(self.logits, counts), torch.split(self.labels, counts), strict=True)


def labelled_logits(model: nn.Module, inputs: dict[str, Tensor], *, shift: bool) -> LabelledLogits:
    """Run the model on collated `inputs`, whose `labels` are [rows, length].

    With `shift` the logits of a position are of the next token, so that the first label of a row never counts.
    """
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    if shift:
        labels = functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
    mask = labels != IGNORE_INDEX
    return LabelledLogits(logits_at(model, inputs, mask), labels[mask], mask)


def logits_at(model: nn.Module, inputs: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Logits at the positions in `mask` [rows, length], row after row, [positions, vocabulary]."""
    with _narrowed(model, mask) as narrowed:
        logits: Tensor = model(**inputs).logits
    return logits.flatten(0, 1) if narrowed else _at(logits, mask)


@contextmanager
def _narrowed(model: Any, mask: Tensor) -> Iterator[list[bool]]:
    """Apply the output layer at positions in `mask` only; the list is empty where not possible."""
    layer = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    narrowed: list[bool] = []

    def narrow(_layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if narrowed or not given or not _has_positions(given[0], mask):
            return None
        narrowed.append(True)
        return (_at(given[0], mask)[None], *given[1:])

    handle = layer.register_forward_pre_hook(narrow) if isinstance(layer, nn.Module) else None
    try:
        yield narrowed
    finally:
        if handle is not None:
            handle.remove()


def _has_positions(hidden: object, mask: Tensor) -> bool:
    rows, length = mask.shape
    return isinstance(hidden, Tensor) and hidden.ndim == 3 and len(hidden) == rows and hidden.shape[1] >= length


def _at(values: Tensor, mask: Tensor) -> Tensor:
    """Values at the positions in `mask`; virtual tokens of soft prompts are skipped."""
    return values[:, -mask.shape[1] :][mask]
