"""Attention implementation of a loaded model (`training.attnImplementation`)."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_api.training import AttnImplementation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WHERE = "spec.training.attnImplementation"
_NAMES = {
    AttnImplementation.EAGER: "eager",
    AttnImplementation.SDPA: "sdpa",
    AttnImplementation.FLASH_ATTENTION_2: "flash_attention_2",
}
"""Names in transformers (`attn_implementation`)."""
_SUPPORTED = {AttnImplementation.SDPA: "_supports_sdpa", AttnImplementation.FLASH_ATTENTION_2: "_supports_flash_attn"}


def check_available(wanted: AttnImplementation, *, has_gpu: bool) -> None:
    """Raise `SpecInvalid` for an implementation that this machine can't run."""
    if wanted is not AttnImplementation.FLASH_ATTENTION_2:
        return
    hint = "use Auto, SDPA or Eager"
    if not has_gpu:
        raise SpecInvalid("FlashAttention2 needs a GPU", where=_WHERE, hint=hint)
    if not has_flash_attention():
        message = "FlashAttention2 needs the package flash_attn, which is not installed here"
        raise SpecInvalid(message, where=_WHERE, hint=f"add it to the trainer's image, or {hint}")


def has_flash_attention() -> bool:
    """Whether the package flash_attn is installed."""
    return find_spec("flash_attn") is not None


def set_attention(model: "PreTrainedModel", wanted: AttnImplementation, uri: str) -> None:
    """Give a loaded model an attention implementation; `Auto` leaves what transformers has chosen.

    Models on the meta device, which compute nothing, are only checked. Raises `ModelUnsuitable` where the
    architecture does not support it.
    """
    name = _NAMES.get(wanted)
    if name is None or current_attention(model) == name:
        return
    if not (getattr(model, _SUPPORTED.get(wanted, ""), True) and can_set_attention(model)):
        message = f"{uri}: {type(model).__name__} can't compute with {wanted}"
        raise ModelUnsuitable(message, where=_WHERE, hint=f"use Auto, which is {current_attention(model)} here")
    if model.device.type != "meta":
        model.set_attn_implementation(name)


def can_set_attention(model: "PreTrainedModel") -> bool:
    """Whether a model looks its attention implementation up in each call, not when it is built."""
    return bool(model._can_set_attn_implementation())  # noqa: SLF001 -- transformers only warns otherwise


def current_attention(model: "PreTrainedModel") -> str:
    """Name of a model's attention implementation in transformers."""
    return str(model.config._attn_implementation)  # noqa: SLF001 -- it has no public name


def pretrained(model: Any) -> "PreTrainedModel":
    """The transformers model in a model with its method applied."""
    find = getattr(model, "get_base_model", None)
    found: PreTrainedModel = find() if callable(find) else model
    return found
