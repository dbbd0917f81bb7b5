"""Layers of a pretrained body, with attention and MLP modules, by known naming patterns."""

import re
from typing import TYPE_CHECKING

from torch import nn

from finetune_api.failures import ModelUnsuitable
from finetune_trainer.models.module_names import body_linears, is_in_body

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# By the names that BERT's kin, DistilBERT, ModernBERT, GPT-2, Llama's kin, BART's kin and T5 use.
_KEYS_AND_VALUES = re.compile(r"\.(key|value|[kv]_lin|[kv]_proj|Wqkv|c_attn|[kv])$")
_ATTENTION_OUTPUTS = re.compile(
    r"(\.attention\.output\.dense|\.attention\.out_lin|\.attn\.(Wo|c_proj)|[._]attn\.(o_proj|out_proj)|Attention\.o)$"
)
_FEED_FORWARD_OUTPUTS = re.compile(
    r"((?<!attention)\.output\.dense|\.ffn\.lin2|\.mlp\.(Wo|c_proj|down_proj)|\.fc2|\.DenseReluDense\.wo)$"
)
_EMBEDDINGS = re.compile(r"embed|(^|\.)(wte|wpe|shared)\.")


def keys_and_values(model: "PreTrainedModel", field: str) -> list[str]:
    """Names of the linear modules that compute keys and values, fused ones included.

    Raises `ModelUnsuitable`, about `field`, where none is found; so do the next two.
    """
    return _found(model, _KEYS_AND_VALUES, "keys and values", field)


def attention_outputs(model: "PreTrainedModel", field: str) -> list[str]:
    """Names of the output projections of attentions."""
    return _found(model, _ATTENTION_OUTPUTS, "outputs of attention", field)


def feed_forward_outputs(model: "PreTrainedModel", field: str) -> list[str]:
    """Names of the output projections of feed-forward networks."""
    return _found(model, _FEED_FORWARD_OUTPUTS, "outputs of feed-forward networks", field)


def stacks(model: "PreTrainedModel") -> dict[str, int]:
    """Module path of each layer stack in the body (two in an encoder-decoder), and its number of layers."""
    lists = {
        name: len(module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and is_in_body(model, name)
    }
    return {name: count for name, count in lists.items() if not any(name.startswith(f"{outer}.") for outer in lists)}


def height(model: "PreTrainedModel", name: str) -> int:
    """Layer count from a weight to the top, itself included: 0 for the head and everything after the last layer.

    The last layer is at 1, the first of n at n, embeddings at n + 1.
    """
    if not is_in_body(model, name):
        return 0
    found = stacks(model)
    for path, count in found.items():
        if name.startswith(f"{path}."):
            return count - int(name.removeprefix(f"{path}.").partition(".")[0])
    return 1 + max(found.values(), default=0) if _EMBEDDINGS.search(name) else 0


def _found(model: "PreTrainedModel", pattern: re.Pattern[str], what: str, field: str) -> list[str]:
    names = [name for name in body_linears(model) if pattern.search(name)]
    if not names:
        ends = ", ".join(sorted({name.rpartition(".")[2] for name in body_linears(model)}))
        message = f"the {what} of a {model.config.model_type} model are not known by name"
        hint = f"use method LoRA, or where the method lets you name modules, choose among: {ends}"
        raise ModelUnsuitable(message, where=field, hint=hint)
    return names
