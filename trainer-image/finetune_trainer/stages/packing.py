"""Decision whether a job is trained on packed rows (`training.packing`)."""

from typing import TYPE_CHECKING

from finetune_api.checks.packing import why_never
from finetune_api.failures import ModelUnsuitable
from finetune_api.spec import Spec
from finetune_api.training import AttnImplementation, Packing
from finetune_trainer.models.attention import current_attention, has_flash_attention, pretrained, set_attention
from finetune_trainer.training.speedups.packing_probe import why_not_by_class, why_not_packed

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from transformers import PreTrainedModel

    from finetune_trainer.observer import RunObserver

_WHERE = "spec.training.packing"


def prefer_flash_attention(spec: Spec, model: "PreTrainedModel", accelerator: "Accelerator", uri: str) -> None:
    """Give a model FlashAttention2 where the job leaves the choice and rows could then be packed."""
    training = spec.training
    open_choice = training.attn_implementation is AttnImplementation.AUTO and training.packing is not Packing.NEVER
    is_half = accelerator.mixed_precision in {"bf16", "fp16"} and accelerator.device.type == "cuda"
    if open_choice and is_half and has_flash_attention() and not why_never(spec):
        try:
            set_attention(model, AttnImplementation.FLASH_ATTENTION_2, uri)
        except ModelUnsuitable:
            return


def packs_rows(spec: Spec, model: "nn.Module", observer: "RunObserver") -> bool:
    """Whether a prepared model is trained on packed rows.

    Raises `ModelUnsuitable` where the job wants it and the architecture sees across rows.
    """
    wanted, base = spec.training.packing, pretrained(model)
    if wanted is Packing.NEVER or why_never(spec):
        return False
    if wanted is Packing.AUTO and not current_attention(base).startswith("flash_attention"):
        return False
    why = why_not_packed(base)
    if why and wanted is Packing.ALWAYS:
        raise _refused(why)
    if why:
        observer.said(f"rows are not packed: {why}")
    return not why


def check_packing(spec: Spec, model: "PreTrainedModel") -> None:
    """Raise `ModelUnsuitable` for a model without weights whose class alone rules out the packing that a job wants."""
    why = why_not_by_class(model) if spec.training.packing is Packing.ALWAYS else ""
    if why:
        raise _refused(why)


def _refused(why: str) -> ModelUnsuitable:
    return ModelUnsuitable(f"rows can't be packed: {why}", where=_WHERE, hint="remove it: batches are of like length")
