"""A hidden layer in a classification head: linear, ReLU and dropout before the layer that gives the logits.

No class of transformers has one, so a model's config says that it is there, and loading it needs this module. All
else about such a model is as its class has it; the weights are those of `<output layer>.0` and `<output layer>.3`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from finetune_trainer.models.module_names import output_layer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG_KEY = "head_hidden_layer"
"""Name of the entry in `config.json`: an object with `size` and `dropout`."""
_LABELLING = ("AutoModelForSequenceClassification", "AutoModelForTokenClassification")


class HiddenLayer(nn.Sequential):
    """Replacement of an output layer: [..., inputs] -> [..., outputs] through `size` units."""

    def __init__(self, inputs: int, size: int, outputs: int, dropout: float) -> None:
        super().__init__(nn.Linear(inputs, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, outputs))

    def resize(self, size: int) -> None:
        """Set the number of units to `size`, newly initialised unless it is that already."""
        first, last = cast("nn.Linear", self[0]), cast("nn.Linear", self[3])
        if first.out_features != size:
            self[0] = nn.Linear(first.in_features, size).to(first.weight)
            self[3] = nn.Linear(size, last.out_features).to(last.weight)


def add_hidden_layer(model: "PreTrainedModel", size: int, dropout: float) -> None:
    """Insert a hidden layer of `size` units before the output layer, both newly initialised, in place.

    Where that layer gives 0 for everything, the new one does so too. A head that has a hidden layer of this size keeps
    its weights. Raises `ModelUnsuitable` for a head without a linear layer.
    """
    parent, _name, old = output_layer(model)
    if isinstance(parent, HiddenLayer):
        layer = parent
        layer.resize(size)
    else:
        layer = _insert(model, size)
    if not old.weight.any():
        nn.init.zeros_(cast("nn.Linear", layer[3]).weight)
        nn.init.zeros_(cast("nn.Linear", layer[3]).bias)
    cast("nn.Dropout", layer[2]).p = dropout
    setattr(model.config, CONFIG_KEY, {"size": size, "dropout": dropout})


def from_pretrained(auto: Any, folder: str | Path, **settings: Any) -> Any:
    """`auto.from_pretrained(folder, **settings)`, with the hidden layer where the config has one.

    `auto` is an `AutoModelFor...` class. Those that give no labels have no use for the layer, and the entry goes.
    """
    from transformers import AutoConfig

    config = settings.get("config") or AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not hasattr(config, CONFIG_KEY):
        return auto.from_pretrained(folder, **settings)
    if auto.__name__ in _LABELLING:
        kind = with_own_head(auto, auto._model_mapping[type(config)], config)  # noqa: SLF001 -- it has no public name
        return kind.from_pretrained(folder, **settings)
    loaded = auto.from_pretrained(folder, **settings)
    remove_hidden_layer(loaded[0].config if isinstance(loaded, tuple) else loaded.config)
    return loaded


def with_own_head(auto: Any, kind: Any, config: Any) -> Any:
    """The model class `kind` chosen by `auto`, with the hidden layer where the config has one."""
    return _with_hidden_layer(kind) if hasattr(config, CONFIG_KEY) and auto.__name__ in _LABELLING else kind


def has_hidden_layer(folder: Path) -> bool:
    """Whether the head of the model in a folder has the layer."""
    file = folder / "config.json"
    return file.is_file() and CONFIG_KEY in json.loads(file.read_text(encoding="utf-8"))


def remove_hidden_layer(config: Any) -> None:
    """Remove the entry from the config of a model without the layer."""
    vars(config).pop(CONFIG_KEY, None)


def _with_hidden_layer(kind: Any) -> Any:
    """Subclass of `kind` whose models have the layer that their config describes."""

    def build(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        kind.__init__(self, config, *args, **kwargs)
        told = getattr(config, CONFIG_KEY)
        _insert(self, told["size"], told["dropout"])

    return type(kind.__name__, (kind,), {"__init__": build, "__module__": __name__})


def _insert(model: "PreTrainedModel", size: int, dropout: float = 0.0) -> HiddenLayer:
    """Insert a new hidden layer and a new output layer; returns both."""
    parent, name, old = output_layer(model)
    layer = HiddenLayer(old.in_features, size, old.out_features, dropout).to(old.weight)
    setattr(parent, name, layer)
    return layer
