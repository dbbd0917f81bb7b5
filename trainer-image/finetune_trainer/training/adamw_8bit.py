"""`AdamW8bit`: bitsandbytes' AdamW with 8-bit state (arXiv:2110.02861), on GPUs and CPUs."""

from typing import Any

from bitsandbytes.optim.adamw import AdamW8bit as _AdamW8bit


class AdamW8bit(_AdamW8bit):
    """AdamW with 8-bit state in blocks of 256 weights; small tensors, and groups with `full_state`, keep 32 bits."""

    def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        """Settings of one parameter; bitsandbytes' own registry of exceptions is shared by the whole process."""
        config: dict[str, Any] = super().get_config(gindex, pindex, group)  # type: ignore[no-untyped-call]  # of bitsandbytes
        return config | {"optim_bits": 32} if group.get("full_state") else config
