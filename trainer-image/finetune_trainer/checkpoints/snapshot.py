"""`Snapshot`: the training state of a checkpoint, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Snapshot:
    """Copy of everything that training after `step` depends on; later steps do not change it."""

    step: int
    """Optimiser steps that are done."""
    epoch: float
    """Passes over the training rows that are done."""
    parts: Mapping[str, Mapping[str, Tensor]]
    """Tensors on the CPU by name; each part (`weights`, `optimizer`, ...) becomes `<part>.safetensors`."""
    values: Mapping[str, Any]
    """Everything else, as JSON: becomes `state.json`."""
    metric: float | None = None
    """Newest value of `evaluation.metric` on the validation rows."""
