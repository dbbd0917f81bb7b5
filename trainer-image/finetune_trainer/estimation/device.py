"""`Device`: what a job trains on, as far as memory goes."""

from dataclasses import dataclass

import torch

from finetune_api.spec import Spec
from finetune_api.training import Precision
from finetune_trainer.training.precision import choose_precision


@dataclass(frozen=True)
class Device:
    """A kind of device, and the format that it computes in."""

    is_gpu: bool
    precision: Precision
    """Never `Auto`."""

    @classmethod
    def of(cls, spec: Spec) -> "Device":
        """The device that a job asks for, else this machine's. A GPU that is not here is taken to compute BF16."""
        wanted, here = spec.training.precision, torch.cuda.is_available()
        if not spec.compute.gpus_per_node or here:
            return cls(here, choose_precision(wanted))
        return cls(is_gpu=True, precision=Precision.BF16 if wanted is Precision.AUTO else wanted)

    @property
    def kind(self) -> str:
        """Type of the device in torch."""
        return "cuda" if self.is_gpu else "cpu"

    @property
    def half(self) -> torch.dtype | None:
        """Format of mixed precision, of FP16 one as large; None for FP32."""
        return None if self.precision is Precision.FP32 else torch.bfloat16
