"""Removal of dropout, for losses that compare two passes of a model."""

from typing import TypeVar

from torch import nn

_Model = TypeVar("_Model", bound=nn.Module)
_RATES = ("attention_dropout", "attn_pdrop", "dropout")


def without_dropout(model: _Model) -> _Model:
    """The model with every dropout rate at 0; its config is unchanged."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in _RATES:  # attention takes its rate as a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model
