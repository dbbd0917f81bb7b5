"""Loading options of base weights: dtype, 4-bit quantization, device."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from finetune_api.inference import Quantization
from finetune_trainer.models.weights_dtype import main_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_trainer.models.files import ModelFiles

_PACKS = "support_avx512bf16_for_cpu"
"""Attribute of bitsandbytes' modules: whether they pack their weights anew when they are evaluated."""
_COMPUTE = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ModelLoading:
    """Options of `from_pretrained` for weights. The default is FP32, which optimizers need for trained ones."""

    own_dtype: bool = False
    """Whether weights stay in the format that they are stored in; for bases that are frozen."""
    quantization: Quantization | None = None
    """4-bit format of the body's linear modules; None where they are not quantized."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where quantized weights are loaded to: bitsandbytes quantizes on the device that computes."""
    compute_dtype: torch.dtype = torch.float32
    """What quantized modules compute in."""
    on_meta: bool = False
    """Whether the model is put together without values of its weights, on the meta device."""

    def settings(self, files: "ModelFiles", auto: Any, config: Any = None) -> dict[str, Any]:
        """Keyword arguments of `from_pretrained` of the class `auto` for the model in `files`.

        `config` goes before the model's own.
        """
        dtype = main_dtype(files) if self.own_dtype else torch.float32
        if self.quantization is None:
            return {"dtype": dtype}
        from transformers import AutoConfig

        skipped = _not_of_the_body(auto, config or AutoConfig.from_pretrained(files.folder, trust_remote_code=False))
        where = {} if self.on_meta else {"device_map": {"": self.device}}
        return {"dtype": dtype, "quantization_config": self._bitsandbytes(skipped), **where}

    def _bitsandbytes(self, skipped: list[str]) -> Any:
        from transformers import BitsAndBytesConfig

        if self.quantization is None:
            raise ValueError(self)
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quantization.quant_type.lower(),
            bnb_4bit_use_double_quant=self.quantization.double_quant,
            bnb_4bit_compute_dtype=self.compute_dtype,
            llm_int8_skip_modules=skipped,
        )


FP32 = ModelLoading()


def compute_dtype_of(mixed_precision: str) -> torch.dtype:
    """Compute dtype under a mixed-precision mode of accelerate (`no`, `bf16`, `fp16`)."""
    return _COMPUTE.get(mixed_precision, torch.float32)


def keep_4_bits_unpacked(model: torch.nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit modules for evaluation on CPUs with AVX-512 BF16.

    That rounds their scales to BF16 for good, so that training goes on from another base, and fails for modules whose
    sizes are no multiples of 32 and of the block.
    """
    for module in model.modules():
        if hasattr(module, _PACKS):
            setattr(module, _PACKS, False)


def _not_of_the_body(auto: Any, config: Any) -> list[str]:
    """Patterns of linear modules outside the body: heads, poolers, projections onto the vocabulary."""
    from finetune_trainer.models.module_names import body_linears, linear_modules

    with torch.device("meta"):
        model: PreTrainedModel = auto.from_config(config)
    body = set(body_linears(model))
    return [f"{name}$" for name in linear_modules(model) if name not in body]
