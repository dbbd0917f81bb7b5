"""Bytes of live tensors by part, followed through every operation of PyTorch.

An operation's outputs count from when they are made until nothing holds their storage any more, autograd included. So
what a forward pass saves for the backward pass is counted as it is, whatever the architecture.
"""

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ACTIVATIONS, LOGITS, WEIGHTS, ADAPTER = "activations", "logits", "weights", "adapter"
GRADIENTS, OPTIMIZER, CACHE = "gradients", "optimizer states", "key-value cache"
REFERENCE, CHECKPOINT = "reference model", "checkpoint copy"

Parts = Mapping[str, int]
"""Bytes by part."""


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Live bytes by part, and their split at the peak.

    What has as many columns as the vocabulary has tokens counts as logits, the rest as activations, unless `label` says
    otherwise. Positions that a mask of known values selects are counted by that mask.
    """

    def __init__(self, vocabulary: int = 0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._vocabulary = vocabulary
        self._parts: dict[int, tuple[str, int]] = {}
        self._live: Counter[str] = Counter()
        self._total = 0
        self.peak = 0
        """Most bytes that were live at a time."""
        self.at_peak: Parts = {}
        """These by part."""

    @property
    def live(self) -> Parts:
        """Live bytes by part."""
        return +self._live

    def restart(self) -> None:
        """Measure the peak from now on."""
        self.peak, self.at_peak = self._total, dict(self._live)

    def label(self, tensor: Tensor, part: str) -> None:
        """Count the storage of a tensor as `part`."""
        key = self._add(tensor, part)
        before, size = self._parts[key]
        self._parts[key] = part, size
        self._live[before] -= size
        self._live[part] += size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        selected = _selected(func, args)
        made = func(*args, **(kwargs or {})) if selected is None else selected
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor, self._kind(tensor))
        return made

    def _kind(self, tensor: Tensor) -> str:
        is_logits = tensor.ndim > 1 and self._vocabulary and tensor.shape[-1] == self._vocabulary
        return LOGITS if is_logits else ACTIVATIONS

    def _add(self, tensor: Tensor, part: str) -> int:
        storage = tensor.untyped_storage()
        key, size = int(storage._cdata), storage.nbytes()  # noqa: SLF001 -- what torch's own memory tracker goes by
        if key not in self._parts:
            self._parts[key] = part, size
            self._live[part] += size
            self._total += size
            weakref.finalize(storage, self._forget, key)
        if self._total > self.peak:
            self.peak, self.at_peak = self._total, dict(self._live)
        return key

    def _forget(self, key: int) -> None:
        part, size = self._parts.pop(key, ("", 0))
        self._live[part] -= size
        self._total -= size


def _selected(func: Any, args: Any) -> Tensor | None:
    """Result of `values[mask]` for a mask of known values, which tensors without values can't give."""
    if func is not torch.ops.aten.index.Tensor or len(args[1]) != 1:
        return None
    values, mask = args[0], args[1][0]
    if mask is None or mask.dtype is not torch.bool or _is_without_values(mask) or not _is_without_values(values):
        return None
    return values.new_empty((int(mask.sum()), *values.shape[mask.ndim :]))  # type: ignore[no-any-return]


def _is_without_values(tensor: Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(tensor, FakeTensor)


@contextmanager
def labelled_gradients(live: LiveMemory, weights: list[Tensor]) -> Iterator[None]:
    """Inside the block, count gradients of these weights as such once they are there."""

    def label(weight: Tensor) -> None:
        if weight.grad is not None:
            live.label(weight.grad, GRADIENTS)

    handles = [weight.register_post_accumulate_grad_hook(label) for weight in weights]  # type: ignore[no-untyped-call]  # torch's own
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
