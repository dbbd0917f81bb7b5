"""`HeadOnly`: a classification head without its body, trained on cached features."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_api.failures import ModelUnsuitable
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.models.module_names import nonzero_linears, output_layer, pooler

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE_ROWS = 8  # of one token to eight
_SMALL, _ABOVE = 0.125, 32.0
"""Scale at which tanh is nearly linear for vectors of unit variance; a shift that no such vector undoes."""
_ALIKE = 0.9
"""Least correlation of each input of the output layer with the vector's own value there."""


class HeadOnly(nn.Module):
    """A classification model whose body is replaced by a stand-in that returns cached vectors."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self._prefix = model.base_model_prefix
        body = getattr(model, self._prefix)
        # In lists: not to be registered, and so not trained, moved or saved as children.
        self._body: list[nn.Module] = [body]
        self._stand_in = [_CachedFeatures(pooler(model), body.config)]
        setattr(model, self._prefix, self._stand_in[0])
        self.model = model.requires_grad_(requires_grad=True)

    def get_base_model(self) -> "PreTrainedModel":
        """The transformers model around the head, as PEFT's models name theirs."""
        return self.model

    @property
    def body(self) -> nn.Module:
        """The frozen body."""
        return self._body[0]

    def forward(self, features: Tensor) -> Any:
        """Logits of cached vectors: [rows, hidden] -> output with `logits` [rows, labels]; likewise of words.

        Of words the vectors are [rows, words, hidden] and the logits [rows, words, labels].
        """
        hidden = features if features.ndim > 2 else features[:, None, :]
        tokens = torch.zeros(hidden.shape[:2], dtype=torch.long, device=features.device)
        return self.after(hidden, tokens, torch.ones_like(tokens))

    def after(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Any:
        """Output of the head for a body's output `hidden` [rows, length, hidden]; `ids` and `mask` [rows, length]."""
        self._stand_in[0].hidden = hidden
        return self.model(input_ids=ids, attention_mask=mask)

    @property
    def output_layer(self) -> nn.Linear:
        """The layer that gives the logits."""
        return output_layer(self.model)[2]

    def output_inputs(self, features: Tensor) -> Tensor:
        """Inputs of the output layer for cached vectors: [..., hidden] -> [..., inputs]."""
        seen: list[Tensor] = []
        handle = self.output_layer.register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
        try:
            self(features)
        finally:
            handle.remove()
        return seen[0].view(*features.shape[:-1], -1)

    @contextmanager
    def whole(self) -> Iterator["PreTrainedModel"]:
        """Inside the block: the model with its real body."""
        setattr(self.model, self._prefix, self.body)
        try:
            yield self.model
        finally:
            setattr(self.model, self._prefix, self._stand_in[0])


class _CachedFeatures(nn.Module):
    """Stand-in for the body: returns its input."""

    def __init__(self, pooler: nn.Module | None, config: Any) -> None:
        super().__init__()
        self.pooler, self.config, self.hidden = pooler, config, torch.empty(0)

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling

        if self.pooler is None:
            return BaseModelOutputWithPast(last_hidden_state=self.hidden)
        return BaseModelOutputWithPooling(last_hidden_state=self.hidden, pooler_output=self.pooler(self.hidden))


def _first(batch: dict[str, Tensor], _pad_id: int) -> Tensor:
    return _only(torch.zeros_like(batch["input_ids"][:, 0]), batch["input_ids"])


def _last(batch: dict[str, Tensor], pad_id: int) -> Tensor:
    # As the heads of decoders do it: the last id that is not padding's, whatever the mask says.
    ids = batch["input_ids"]
    return _only(torch.where(ids != pad_id, torch.arange(ids.shape[1], device=ids.device), 0).amax(dim=1), ids)


def _only(positions: Tensor, ids: Tensor) -> Tensor:
    return torch.arange(ids.shape[1], device=ids.device) == positions[:, None]


def labelled_tokens(batch: dict[str, Tensor], _pad_id: int) -> Tensor:
    """Mask of the labelled tokens of a collated batch, [rows, length]: first tokens of words."""
    return batch["labels"] != IGNORE_INDEX


@torch.no_grad()
def check_each_alone(head: HeadOnly) -> None:
    """Raise `ModelUnsuitable` for a token head that depends on more than a token's own vector."""
    device, width = head.model.device, head.model.config.get_text_config().hidden_size
    hidden = torch.randn(_PROBE_ROWS, _PROBE_ROWS, width, generator=torch.Generator().manual_seed(0)).to(device)
    with _probing(head):
        together, alone = head(features=hidden).logits, head(features=hidden.flatten(0, 1)).logits
        if torch.allclose(together.flatten(0, 1), alone.flatten(0, 1), atol=1e-4, rtol=1e-3):
            return
    raise _unsuitable(head, "looks at more than one position")


@contextmanager
def _probing(head: HeadOnly) -> Iterator[None]:
    """Inside the block the head runs without dropout; its errors become `ModelUnsuitable`."""
    head.eval()
    try:
        with nonzero_linears(head):
            yield
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise _unsuitable(head, f"can't be fed by stored vectors ({type(error).__name__}: {error})") from error


@torch.no_grad()
def let_vectors_pass(head: HeadOnly) -> None:
    """Initialise square layers before the output layer so that vectors pass through without loss.

    New layers of a head are random, and a pooler is rarely pretrained to any use. For an activation that is linear
    near 0 (tanh) the layer becomes a small multiple of the identity, for one that is linear above 0 (ReLU, GELU) the
    identity and a shift. Where neither lets vectors pass, the layers keep their weights.
    """
    squares = [
        module
        for module in head.model.modules()
        if isinstance(module, nn.Linear)
        and module is not head.output_layer
        and module.in_features == module.out_features
    ]
    kept = [deepcopy(module.state_dict()) for module in squares]
    for scale, shift in ((_SMALL, 0.0), (1.0, _ABOVE)):
        for module in squares:
            for name, weight in module.named_parameters():
                nn.init.constant_(weight, shift) if name == "bias" else nn.init.eye_(weight).mul_(scale)
        if not squares or _pass(head):
            return
    for module, weights in zip(squares, kept, strict=True):
        module.load_state_dict(weights)


def _pass(head: HeadOnly) -> bool:
    """Whether the inputs of the output layer are nearly linear in the vectors."""
    width = head.model.config.get_text_config().hidden_size
    vectors = torch.randn(4 * _PROBE_ROWS, width, generator=torch.Generator().manual_seed(0)).to(head.model.device)
    head.eval()
    seen = head.output_inputs(vectors)
    if seen.shape != vectors.shape:
        return False
    one, other = (values - values.mean(dim=0) for values in (vectors, seen))
    alike = functional.cosine_similarity(one, other, dim=0)
    return bool(alike.min() > _ALIKE)


@torch.no_grad()
def find_position(head: HeadOnly) -> Callable[[dict[str, Tensor], int], Tensor]:
    """Detect the single position that the head reads; returns a function that marks it in a batch, [rows, length].

    Random vectors stand for the body's output, so the body does not run. Raises `ModelUnsuitable` for a head that
    looks at more than one position, or at more than the body's output.
    """
    pad_id = head.model.config.pad_token_id
    device, width = head.model.device, head.model.config.get_text_config().hidden_size
    mask = torch.arange(_PROBE_ROWS, device=device) <= torch.arange(_PROBE_ROWS, device=device)[:, None]
    ids = torch.where(mask, 0 if pad_id else 1, pad_id)
    hidden = torch.randn(*mask.shape, width, generator=torch.Generator().manual_seed(0)).to(device)
    with _probing(head):
        expected = head.after(hidden, ids, mask.long()).logits
        for look in (_first, _last):
            features = hidden[look({"input_ids": ids}, pad_id)]
            if torch.allclose(head(features=features).logits, expected, atol=1e-4, rtol=1e-3):
                return look
    raise _unsuitable(head, "looks at more than one position")


def _unsuitable(head: HeadOnly, why: str) -> ModelUnsuitable:
    message = f"the head of {type(head.model).__name__} {why}"
    return ModelUnsuitable(message, where="spec.method.type", hint="use method LoRA or Full with this model")
