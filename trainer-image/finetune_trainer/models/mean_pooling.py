"""Mean pooling for models whose head reads the first token, as an additional layer of their own kind.

A transformer layer whose queries and keys are zero attends to all tokens alike, so with identity values it puts
the mean of all token vectors at every position. Times a large factor, the mean drowns the residual connection,
and the layer norm that follows removes the factor. The result is an ordinary model of the same class, with one
layer more, that any tool can load; nothing about it needs our code.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_DROWN_RESIDUAL = 1_000.0

_ZERO, _IDENTITY, _SCALED_IDENTITY, _PLAIN_NORM = "zero", "identity", "scaled identity", "plain norm"
_BERT = {
    "attention.self.query": _ZERO,
    "attention.self.key": _ZERO,
    "attention.self.value": _IDENTITY,
    "attention.output.dense": _SCALED_IDENTITY,
    "attention.output.LayerNorm": _PLAIN_NORM,
    "intermediate.dense": _ZERO,
    "output.dense": _ZERO,
    "output.LayerNorm": _PLAIN_NORM,
}
_DISTILBERT = {
    "attention.q_lin": _ZERO,
    "attention.k_lin": _ZERO,
    "attention.v_lin": _IDENTITY,
    "attention.out_lin": _SCALED_IDENTITY,
    "sa_layer_norm": _PLAIN_NORM,
    "ffn.lin1": _ZERO,
    "ffn.lin2": _ZERO,
    "output_layer_norm": _PLAIN_NORM,
}
# Model type: where its layers are, what their parts become, and the config's name for their number.
_KINDS = {
    **dict.fromkeys(
        ("bert", "roberta", "xlm-roberta", "camembert", "electra"), ("encoder.layer", _BERT, "num_hidden_layers")
    ),
    "distilbert": ("transformer.layer", _DISTILBERT, "n_layers"),
}


def can_pool_mean(model: "PreTrainedModel") -> bool:
    """Whether a pooling layer can be built for this architecture."""
    return model.config.model_type in _KINDS


def declares_first_token(folder: Path) -> bool:
    """Whether a sentence-transformers model declares CLS pooling."""
    file = folder / "1_Pooling" / "config.json"
    if not file.is_file():
        return False
    return bool(json.loads(file.read_text(encoding="utf-8")).get("pooling_mode_cls_token"))


def add_mean_pooling(model: "PreTrainedModel") -> None:
    """Append the layer to the model, in place. `can_pool_mean` must hold."""
    path, parts, count = _KINDS[model.config.model_type]
    layers = getattr(model, model.base_model_prefix).get_submodule(path)
    layer = deepcopy(layers[-1])
    with torch.no_grad():
        for name, role in parts.items():
            _fill(layer.get_submodule(name), role)
    layers.append(layer)
    setattr(model.config, count, len(layers))


def _fill(module: nn.Module, role: str) -> None:
    weight, bias = cast("Tensor", module.weight), cast("Tensor", module.bias)
    bias.zero_()
    if role == _PLAIN_NORM:
        weight.fill_(1.0)
    elif role == _ZERO:
        weight.zero_()
    else:
        nn.init.eye_(weight)
        if role == _SCALED_IDENTITY:
            weight.mul_(_DROWN_RESIDUAL)
