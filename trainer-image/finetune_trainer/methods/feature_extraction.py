"""`FeatureExtraction`: the frozen base encodes each row once; the head is trained on these cached features.

With its dropout off, a frozen base gives the same output in every epoch. So it runs once over the data, and what
the head looks at is kept: one vector of each row, or where words are tagged, one of each word. The head is the
model's own, fed by a body that hands out these vectors; afterwards the real body returns, and the whole is an
ordinary model of its class.
"""

import hashlib
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune_api.failures import ModelUnsuitable
from finetune_api.inference import INFERENCE_NAME
from finetune_api.method import FeatureExtraction, Pooling, Solver
from finetune_trainer.cache import write_atomically
from finetune_trainer.data.tokenising.batches import cut_by_tokens
from finetune_trainer.data.tokenising.collate import FeatureRows, TokenRows, WordFeatureRows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.methods.adapted import Adapted, count_parameters
from finetune_trainer.methods.head_only import (
    HeadOnly,
    check_each_alone,
    find_position,
    labelled_tokens,
    let_vectors_pass,
)
from finetune_trainer.models.hidden_layer import add_hidden_layer
from finetune_trainer.models.mean_pooling import add_mean_pooling, can_pool_mean, declares_first_token
from finetune_trainer.models.module_names import tags_words
from finetune_trainer.observer import Advance

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_LAYOUT = "features/v2"
_TOKENS_A_PASS = 8_192  # no backward pass follows, so more fits than in training
_MOST_BYTES = 8 << 30


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", cache: Path) -> Adapted:
    """Freeze the base and return the head alone for training.

    Raises `ModelUnsuitable` for `pooling: Mean` on a model that can't have it, or for a head that looks at more
    than one position at once.
    """
    settings = method.feature_extraction or FeatureExtraction()
    pooling = Pooling.HEAD if tags_words(model) else _pool(model, files, settings.pooling)
    if settings.head_hidden_size:
        add_hidden_layer(model, settings.head_hidden_size, settings.dropout)
    model.requires_grad_(requires_grad=False)
    total = count_parameters(model)
    head = HeadOnly(model)
    if settings.solver is Solver.LBFGS:
        let_vectors_pass(head)
        head.requires_grad_(requires_grad=False)
        head.output_layer.requires_grad_(requires_grad=True)
    encode = _Encoder(head, files, pooling, cache)
    return Adapted(model=head, rows=encode, total_parameters=total, save=partial(_save, head), check_rows=encode.check)


class _Encoder:
    """Encodes tokens to the head's input vectors, cached by content."""

    def __init__(self, head: HeadOnly, files: "ModelFiles", pooling: Pooling, cache: Path) -> None:
        self._head, self._files, self._pooling, self._cache = head, files, pooling, cache
        self._device, self._pad_id = head.model.device, head.model.config.pad_token_id
        self._of_words = tags_words(head.model)
        self._look = labelled_tokens if self._of_words else find_position(head)
        if self._of_words:
            check_each_alone(head)

    def check(self, tokens: Tokens, every: int) -> None:
        """Raise `ModelUnsuitable` where the vectors of `every` times as many rows exceed memory."""
        counts = self._counts(tokens)
        _check_size(int(counts.sum()) * every * self._width * 4, int(counts.sum()) * every)

    def __call__(self, tokens: Tokens, advance: Advance) -> FeatureRows | WordFeatureRows:
        """Encode all rows, or read them from the cache. Raises `ModelUnsuitable` for too many rows."""
        counts = self._counts(tokens)
        file = self._cache / f"{self._digest(tokens)}.safetensors"
        features = _read(file)
        if features is None:
            features = self._encode(TokenRows(tokens, self._pad_id), counts, advance)
            write_atomically(file, partial(save_file, {"features": features}))
        else:
            advance(len(tokens))
        return WordFeatureRows(features, counts, tokens) if self._of_words else FeatureRows(features)

    def _counts(self, tokens: Tokens) -> NDArray[np.int64]:
        """Number of vectors of each row."""
        return tokens.counted if self._of_words else np.ones(len(tokens), np.int64)

    @property
    def _width(self) -> int:
        return int(self._head.model.config.get_text_config().hidden_size)

    @cached_property
    def _key(self) -> str:
        """Cache key of the vectors: everything they depend on beside the tokens; reads all weights."""
        config = hashlib.sha256((self._files.folder / "config.json").read_bytes()).hexdigest()
        return f"{_LAYOUT} {self._files.digest()} {config} {self._pooling} {self._look.__name__}"

    def _digest(self, tokens: Tokens) -> str:
        digest = hashlib.sha256(self._key.encode())
        places = None if tokens.labels is None else tokens.labels != IGNORE_INDEX
        for part in (tokens.ids, tokens.offsets, tokens.types, places):
            digest.update(b"" if part is None else part.tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def _encode(self, rows: TokenRows, counts: NDArray[np.int64], advance: Advance) -> Tensor:
        body, width = self._head.body.eval(), self._width
        _check_size(int(counts.sum()) * width * 4, int(counts.sum()))
        starts = np.concatenate([[0], np.cumsum(counts)])
        features = torch.empty(int(starts[-1]), width)
        for part in cut_by_tokens(np.arange(len(counts)), rows.lengths, _TOKENS_A_PASS):
            batch = {name: tensor.to(self._device) for name, tensor in rows.collate(part).items()}
            wanted = self._look(batch, self._pad_id)
            batch.pop("labels", None)
            places = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in part])
            features[torch.from_numpy(places)] = body(**batch).last_hidden_state[wanted].float().cpu()
            advance(len(part))
        return features


def _check_size(size: int, count: int) -> None:
    """Refuse vectors of so many bytes that memory would run out."""
    if size > _MOST_BYTES:
        message = f"the vectors of {count:,} words or texts take {size / 2**30:.1f} GiB of memory"
        hint = f"use method LoRA, which stores none, or fewer rows (data.maxRows): {_MOST_BYTES >> 30} GiB is the most"
        raise ModelUnsuitable(message, where="spec.method.type", hint=hint)


def _read(file: Path) -> Tensor | None:
    """Features from the cache; None where missing or corrupt."""
    try:
        return load_file(file)["features"]
    except (OSError, SafetensorError, KeyError):
        return None


def _pool(model: "PreTrainedModel", files: "ModelFiles", wanted: Pooling) -> Pooling:
    """Add mean pooling where requested, or by default where possible; returns `HEAD` or `MEAN`."""
    if wanted is Pooling.HEAD or (wanted is Pooling.AUTO and _keeps_position(files)):
        return Pooling.HEAD
    if can_pool_mean(model):
        add_mean_pooling(model)
        return Pooling.MEAN
    if wanted is Pooling.AUTO:
        return Pooling.HEAD
    message = f"mean pooling can't be built for models of type {model.config.model_type}"
    raise ModelUnsuitable(message, where="spec.method.featureExtraction.pooling", hint="use Auto or Head")


def _keeps_position(files: "ModelFiles") -> bool:
    """Whether the first token already represents the text: by the model's settings, or by earlier fine-tuning."""
    return declares_first_token(files.folder) or (files.folder / INFERENCE_NAME).is_file()


def _save(head: HeadOnly, folder: Path) -> None:
    with head.whole() as model:
        model.save_pretrained(folder)
