"""Logits at labelled tokens, a chunk of positions at a time.

The projection onto the vocabulary is often half of a step, and its logits most of the memory: a gigabyte for every
thousand tokens at a vocabulary of 262,144. Prompts, padding and what is not hidden need none, so the other positions
are taken out just before the model's output layer; and of the labelled ones, only a chunk's logits are there at a time,
in the backward pass too, which computes them again.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.memory.logits import chunk_positions, whole_positions
from finetune_trainer.training.speedups.deferred_logits import Deferral, DeferredLogits, Project, ValuesNeeded

Measure = Callable[[Tensor, Tensor], Tensor]
"""Values [n, ...] of n positions, from their logits [n, vocabulary] in FP32 and their labels [n]."""


@dataclass(frozen=True)
class LabelledLogits:
    """Logits at labelled tokens, row after row, computed where they are used."""

    hidden: Tensor
    """Input of the output layer, [labelled, hidden]."""
    project: Project
    labels: Tensor
    """Ids of the tokens, [labelled]."""
    mask: Tensor
    """Which positions they are of, [rows, length]: with `shift` those before the tokens."""
    chunk: int
    """Most positions whose logits are there at a time, where not all are."""
    whole: int = 0
    """Most positions whose logits are kept for the backward pass."""

    def each(self, measure: Measure) -> Tensor:
        """Values of `measure` at all positions, [labelled, ...]; its logits are those of one chunk."""
        slices = self._slices()
        if len(slices) == 1:
            return measure(self.project(self.hidden).float(), self.labels)
        return torch.cat([self._recomputed(measure, part) for part in slices])

    def losses(self, label_smoothing: float = 0.0, temperature: float = 1.0) -> Tensor:
        """Cross-entropy of each token at a temperature, in nats, [labelled]."""

        def measure(logits: Tensor, labels: Tensor) -> Tensor:
            logits = logits if temperature == 1 else logits / temperature
            return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")

        return self.each(measure)

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits in FP32 and labels, a chunk at a time."""
        for part in self._slices():
            yield self.project(self.hidden[part]).float(), self.labels[part]

    def row_sums(self, values: Tensor) -> Tensor:
        """Sums of token values [labelled] by row, [rows], in a fixed order, unlike `index_add` on a GPU."""
        return self.spread(values).sum(dim=1)

    def spread(self, values: Tensor) -> Tensor:
        """Token values [labelled] at their positions, 0 elsewhere, [rows, length]."""
        return values.new_zeros(self.mask.shape).masked_scatter(self.mask, values)

    def within(self, block: Callable[[], AbstractContextManager[object]]) -> Self:
        """The same, with logits computed inside of `block`."""
        return replace(self, project=_within(block, self.project))

    def _slices(self) -> list[slice]:
        """Chunks of even size; one at least."""
        positions = len(self.hidden)
        is_whole = torch.is_grad_enabled() and positions <= self.whole
        count = 1 if is_whole else max(1, -(-positions // self.chunk))
        size = max(1, -(-positions // count))
        return [slice(start, start + size) for start in range(0, max(1, positions), size)]

    def _recomputed(self, measure: Measure, part: slice) -> Tensor:
        """Values of a chunk, whose logits the backward pass computes again instead of keeping them."""
        labels = self.labels[part]

        def values(hidden: Tensor) -> Tensor:
            return measure(self.project(hidden).float(), labels)

        if not torch.is_grad_enabled():
            return values(self.hidden[part])
        return checkpoint(values, self.hidden[part], use_reentrant=False)


def labelled_logits(model: nn.Module, inputs: dict[str, Tensor], *, shift: bool) -> LabelledLogits:
    """Run the model on collated `inputs`, whose `labels` are [rows, length].

    With `shift` the logits of a position are of the next token, so that the first label of a row never counts.
    """
    inputs = dict(inputs)
    labels = inputs.pop("labels")
    if shift:
        labels = functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
    return logits_at(model, inputs, labels != IGNORE_INDEX, labels)


def logits_at(model: nn.Module, inputs: dict[str, Tensor], mask: Tensor, labels: Tensor) -> LabelledLogits:
    """Logits at the positions in `mask`, row after row, with their labels; both [rows, length]."""
    hidden, logits = _deferred(model, inputs, mask)
    project: Project
    if hidden is None:  # no such layer, or it is given something else: all logits, of which some are picked
        hidden, project, vocabulary = _at(logits, mask), _itself, logits.shape[-1]
    else:
        project, vocabulary = _within(_autocast_now(hidden.device.type), _flat(logits.compute)), logits.value.shape[-1]
    kind = hidden.device.type
    chunk, whole = chunk_positions(vocabulary, kind), whole_positions(vocabulary, kind)
    return LabelledLogits(hidden, project, labels[mask], mask, chunk, whole)


def _deferred(model: Any, inputs: dict[str, Tensor], mask: Tensor) -> tuple[Tensor | None, Any]:
    """Hidden states at the positions in `mask`, and what comes of them; None and all logits where not possible."""
    layer = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if not isinstance(layer, nn.Module):
        return None, model(**inputs).logits
    deferral = Deferral(layer, lambda given: _at(given, mask) if _has_positions(given, mask) else None)
    try:
        logits = model(**inputs).logits
    except (ValuesNeeded, TypeError):  # the latter where something is no tensor; if it is another, it comes again
        logits = None
    finally:
        deferral.end()
    if deferral.hidden is not None and not isinstance(logits, DeferredLogits):
        return None, model(**inputs).logits
    return deferral.hidden, logits


def _has_positions(hidden: object, mask: Tensor) -> bool:
    rows, length = mask.shape
    return isinstance(hidden, Tensor) and hidden.ndim == 3 and len(hidden) == rows and hidden.shape[1] >= length


def _at(values: Any, mask: Tensor) -> Tensor:
    """Values at the positions in `mask`; virtual tokens of soft prompts are skipped."""
    return values[:, -mask.shape[1] :][mask]  # type: ignore[no-any-return]  # values of a model


def _flat(project: Project) -> Project:
    return lambda hidden: project(hidden).flatten(0, 1)


def _itself(hidden: Tensor) -> Tensor:
    return hidden


def _within(block: Callable[[], AbstractContextManager[object]], project: Project) -> Project:
    def inside(hidden: Tensor) -> Tensor:
        with block():
            return project(hidden)

    return inside


def _autocast_now(kind: str) -> Callable[[], AbstractContextManager[object]]:
    """Blocks in the precision that is in force now, on a kind of device."""
    dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
    return lambda: torch.autocast(kind, dtype=dtype, enabled=enabled)
