"""`FeatureExtraction`: the frozen base encodes each row once; the head is trained on what it made of them.

With its dropout off, a frozen base gives the same output in every epoch. So it runs once over the data, and the
one vector of each row that the head looks at is kept. The head is the model's own, fed by a body that hands out
these vectors; afterwards the real body returns, and the whole is an ordinary model of its class.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import FeatureExtraction, Pooling
from finetune_trainer.data.batches import Rows, cut_by_tokens
from finetune_trainer.data.collate import FeatureRows, TokenRows
from finetune_trainer.data.tokens import Tokens
from finetune_trainer.methods.adapted import Adapted, count_parameters
from finetune_trainer.models.anatomy import pooler
from finetune_trainer.models.mean_pooling import add_mean_pooling, can_pool_mean, declares_first_token
from finetune_trainer.observer import Advance

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_PROBE_ROWS = 8
_TOKENS_A_PASS = 8_192  # no backward pass follows, so more fits than in training
_FIRST, _LAST = "first", "last"


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", cache: Path) -> Adapted:
    """Freeze the base and give the loop the head alone.

    Raises `ModelUnsuitable` for `pooling: Mean` on a model that can't have it, or for a head that looks at more
    than one position.
    """
    settings = method.feature_extraction or FeatureExtraction()
    _pool(model, files, settings.pooling)
    model.requires_grad_(requires_grad=False)
    total = count_parameters(model)
    head = HeadOnly(model)
    encode = _Encoder(head, f"{files.digest()} {settings.pooling}", cache)
    return Adapted(model=head, rows=encode, total_parameters=total, save=partial(_save, head))


class HeadOnly(nn.Module):
    """A classification model whose body is replaced by a stand-in that hands out stored vectors."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self._prefix = model.base_model_prefix
        body = getattr(model, self._prefix)
        # In lists: not to be registered, and so not trained, moved or saved as children.
        self._body: list[nn.Module] = [body]
        self._stand_in = [_StandIn(pooler(model), body.config)]
        setattr(model, self._prefix, self._stand_in[0])
        self.model = model.requires_grad_(requires_grad=True)

    @property
    def body(self) -> nn.Module:
        """The frozen body."""
        return self._body[0]

    def forward(self, features: Tensor) -> Any:
        """Logits of stored vectors, [rows, hidden] -> output with `logits` [rows, labels]."""
        one_token = torch.zeros((len(features), 1), dtype=torch.long, device=features.device)
        self._stand_in[0].vectors = features
        return self.model(input_ids=one_token, attention_mask=torch.ones_like(one_token))

    @contextmanager
    def whole(self) -> Iterator["PreTrainedModel"]:
        """The model with its real body, inside the block."""
        setattr(self.model, self._prefix, self.body)
        try:
            yield self.model
        finally:
            setattr(self.model, self._prefix, self._stand_in[0])


class _StandIn(nn.Module):
    """Looks like the body to the head: returns the stored vectors as a sequence of one token."""

    def __init__(self, pooler: nn.Module | None, config: Any) -> None:
        super().__init__()
        self.pooler, self.config, self.vectors = pooler, config, torch.empty(0)

    def forward(self, *_args: Any, **_kwargs: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling

        hidden = self.vectors[:, None, :]
        if self.pooler is None:
            return BaseModelOutput(last_hidden_state=hidden)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=self.pooler(hidden))


class _Encoder:
    """Turns tokens into the vectors that the head looks at; the same tokens are never encoded twice."""

    def __init__(self, head: HeadOnly, key: str, cache: Path) -> None:
        self._head, self._key, self._cache = head, key, cache
        self._device, self._pad_id = head.model.device, head.model.config.pad_token_id
        self._position = ""

    def __call__(self, tokens: Tokens, advance: Advance) -> FeatureRows:
        """Encode all rows, or find them in the cache."""
        rows = TokenRows(tokens, self._pad_id)
        self._position = self._position or self._find_position(rows)
        file = self._cache / f"{self._digest(tokens)}.safetensors"
        if file.is_file():
            advance(len(tokens))
            return FeatureRows(load_file(file)["features"])
        features = self._encode(rows, np.arange(len(tokens)), self._position, advance)
        self._cache.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        save_file({"features": features}, part)
        part.replace(file)
        return FeatureRows(features)

    def _digest(self, tokens: Tokens) -> str:
        digest = hashlib.sha256(f"{self._key} {self._position}".encode())
        for part in (tokens.ids, tokens.offsets, tokens.types):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def _encode(self, rows: TokenRows, which: Rows, position: str, advance: Advance = lambda _rows: None) -> Tensor:
        body = self._head.body.eval()
        features: Tensor | None = None
        for part in cut_by_tokens(which, rows.lengths, _TOKENS_A_PASS):
            batch = {name: tensor.to(self._device) for name, tensor in rows.collate(part).items()}
            hidden = body(**batch).last_hidden_state
            last = batch["attention_mask"].sum(dim=1) - 1
            at = last if position == _LAST else torch.zeros_like(last)
            vectors = hidden[torch.arange(len(part), device=at.device), at].float().cpu()
            if features is None:
                features = torch.empty((len(which), vectors.shape[-1]))
            features[torch.from_numpy(part)] = vectors
            advance(len(part))
        if features is None:
            raise ValueError("there are no rows to encode")
        return features

    def _find_position(self, rows: TokenRows) -> str:
        """Find by trying which position the head looks at: only for that one the head alone gives the same logits."""
        probe = np.arange(min(_PROBE_ROWS, len(rows.lengths)))
        with torch.no_grad():
            inputs = {name: tensor.to(self._device) for name, tensor in rows.collate(probe).items()}
            with self._head.whole() as model:
                expected = model.eval()(**inputs).logits
            self._head.eval()
            for position in (_FIRST, _LAST):
                features = self._encode(rows, probe, position).to(self._device)
                if torch.allclose(self._head(features=features).logits, expected, atol=1e-3, rtol=1e-3):
                    return position
        kind = type(self._head.model).__name__
        hint = "use method LoRA or Full with this model"
        raise ModelUnsuitable(
            f"the head of {kind} looks at more than one position", where="spec.method.type", hint=hint
        )


def _pool(model: "PreTrainedModel", files: "ModelFiles", wanted: Pooling) -> None:
    if wanted is Pooling.HEAD or (wanted is Pooling.AUTO and declares_first_token(files.folder)):
        return
    if can_pool_mean(model):
        add_mean_pooling(model)
    elif wanted is Pooling.MEAN:
        message = f"mean pooling can't be built for models of type {model.config.model_type}"
        raise ModelUnsuitable(message, where="spec.method.featureExtraction.pooling", hint="use Auto or Head")


def _save(head: HeadOnly, folder: Path) -> None:
    with head.whole() as model:
        model.save_pretrained(folder)
