"""Module names of a transformers model: body, linear modules of the body, head."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from finetune_api.failures import ModelUnsuitable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_POOLER = "pooler"
_LANGUAGE_HEAD = "lm_head"


def body_linears(model: "PreTrainedModel") -> list[str]:
    """Full names of the linear modules of the pretrained body, without its pooler."""
    return [name for name in linear_modules(model) if is_in_body(model, name)]


def linear_modules(model: nn.Module) -> list[str]:
    """Full names of all linear modules."""
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear module

    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]


def stores_weights_transposed(model: "PreTrainedModel") -> bool:
    """Whether linear modules of the body store weights as [in, out] (GPT-2's Conv1D), not as [out, in]."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module, Conv1D) for module in model.modules())


def is_in_body(model: "PreTrainedModel", name: str) -> bool:
    """Whether a module or weight belongs to the pretrained body, without its pooler."""
    if not hasattr(model, model.base_model_prefix):  # T5 has its stacks at the top
        return name.partition(".")[0] != _LANGUAGE_HEAD
    return name.startswith(f"{model.base_model_prefix}.") and _POOLER not in name.split(".")


def head_modules(model: "PreTrainedModel") -> list[str]:
    """Names of the modules from the body's output to the logits: all outside of it, and its pooler.

    None for language models: theirs were trained with the body.
    """
    if model.get_output_embeddings() is not None:
        return []
    prefix = model.base_model_prefix
    outside = [
        name for name, child in model.named_children() if name != prefix and any(True for _ in child.parameters())
    ]
    return [*([_POOLER] if pooler(model) is not None else []), *outside]


def tags_words(model: "PreTrainedModel") -> bool:
    """Whether the model's class gives logits per token, not per text."""
    return type(model).__name__.endswith("ForTokenClassification")


def pooler(model: "PreTrainedModel") -> nn.Module | None:
    """The pooler of some bodies (BERT's), part of the head: it is rarely pretrained usefully."""
    found = getattr(getattr(model, model.base_model_prefix), _POOLER, None)
    return found if isinstance(found, nn.Module) else None


def output_size(model: "PreTrainedModel") -> int:
    """Number of logits."""
    return output_layer(model)[2].out_features


def renew_output_layer(model: "PreTrainedModel", outputs: int) -> None:
    """Replace the output layer by a new one for `outputs` logits, initialised as the model does."""
    parent, name, old = output_layer(model)
    new = nn.Linear(old.in_features, outputs, bias=old.bias is not None)
    model._init_weights(new)  # noqa: SLF001 -- the architecture's own rule, which has no public name
    setattr(parent, name, new.to(old.weight))
    model.num_labels = outputs


def silence_output_layer(model: "PreTrainedModel") -> None:
    """Zero the output layer, so that the logits are 0 until trained."""
    layer = output_layer(model)[2]
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@contextmanager
def nonzero_linears(model: nn.Module) -> Iterator[None]:
    """Randomise zero-initialised linear modules inside the block, so that probes reach the output."""
    silent = [module.weight for module in model.modules() if isinstance(module, nn.Linear) and not module.weight.any()]
    with torch.no_grad():
        for weight in silent:
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight in silent:
                weight.zero_()


def output_layer(model: "PreTrainedModel") -> tuple[nn.Module, str, nn.Linear]:
    """The linear module of the logits: its parent, its name there, and itself.

    Raises `ModelUnsuitable` where there is none.
    """
    prefix = f"{model.base_model_prefix}."
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    outside = [name for name in linears if not name.startswith(prefix)]
    if not outside:
        message, hint = f"the head of {type(model).__name__} has no linear layer", "use a model whose head has one"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=hint)
    parent, _, name = outside[-1].rpartition(".")
    return model.get_submodule(parent), name, cast("nn.Linear", model.get_submodule(outside[-1]))
