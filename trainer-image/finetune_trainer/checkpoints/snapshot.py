"""The state of training as a value: what a checkpoint holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Snapshot:
    """Everything that training after `step` depends on, copied: nothing that goes on changes it."""

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
