"""What is what in a classification model of transformers: the body, its linear modules, the head."""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_POOLER = "pooler"


def body_linears(model: "PreTrainedModel") -> list[str]:
    """Full names of the linear modules of the pretrained body, without its pooler."""
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear module

    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and is_in_body(model, name)
    ]


def stores_weights_transposed(model: "PreTrainedModel") -> bool:
    """Whether the body's linear modules keep their weights as [in, out], as GPT-2's do, not as [out, in]."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def is_in_body(model: "PreTrainedModel", name: str) -> bool:
    """Whether a module or weight belongs to the pretrained body, without its pooler."""
    return name.startswith(f"{model.base_model_prefix}.") and _POOLER not in name.split(".")


def head_modules(model: "PreTrainedModel") -> list[str]:
    """Names of the modules that turn the body's output into logits: all outside of it, and its pooler."""
    prefix = model.base_model_prefix
    outside = [
        name for name, child in model.named_children() if name != prefix and any(True for _ in child.parameters())
    ]
    return [*([_POOLER] if pooler(model) is not None else []), *outside]


def pooler(model: "PreTrainedModel") -> nn.Module | None:
    """The pooler that some bodies (BERT's) have, as part of the head: it is rarely pretrained to any use."""
    found = getattr(getattr(model, model.base_model_prefix), _POOLER, None)
    return found if isinstance(found, nn.Module) else None
