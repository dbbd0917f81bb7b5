"""Tokens of a pass: as many as are worth it on a kind of device, halved until they fit the memory that is available."""

from collections.abc import Callable

import torch
from torch import nn

from finetune_trainer.memory.available import available_bytes
from finetune_trainer.memory.logits import logits_bytes
from finetune_trainer.memory.model_shape import shape_of
from finetune_trainer.memory.pass_bytes import (
    cache_token_bytes,
    inference_token_bytes,
    trained_weight_bytes,
    training_token_bytes,
)

TRAINING_TOKENS = {"cpu": 2_048, "cuda": 16_384}
"""Most padded tokens of a training pass by kind of device: more are not faster."""
INFERENCE_TOKENS = {"cpu": 4_096, "cuda": 65_536}
"""The same for a pass without gradients."""
_SHARE = 0.8
"""Part of the available memory that a pass is planned to take: the formulas are no measurements."""
_CACHE_BYTES = 4
"""Bytes of a cached value, FP32."""
_GENERATION_LOGITS = 3
"""Copies of the logits of the last token while the next one is chosen."""


def halved_until(most: int, fits: Callable[[int], bool]) -> int:
    """`most` halved until it fits; 1 where nothing does.

    Halves, so that a little more or less memory seldom changes how a step is cut.
    """
    tokens = most
    while tokens > 1 and not fits(tokens):
        tokens //= 2
    return tokens


def training_tokens(model: nn.Module, device: torch.device, length: int, *, mixed: bool) -> int:
    """Most padded tokens of a training pass over texts of up to `length` tokens.

    To be asked before gradients and optimizer states are there; `mixed` tells of mixed precision.
    """
    most, shape = _most(TRAINING_TOKENS, device), shape_of(model)
    if shape is None:
        return most
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    room = _SHARE * available_bytes(device) - trained_weight_bytes(trained, on_cpu=device.type == "cpu")
    token = training_token_bytes(shape, length, mixed=mixed)
    return halved_until(most, lambda n: n * token + logits_bytes(n, shape.vocabulary, device.type) <= room)


def inference_tokens(model: nn.Module, device: torch.device, length: int) -> int:
    """Most padded tokens of a pass without gradients over texts of up to `length` tokens."""
    most, shape = _most(INFERENCE_TOKENS, device), shape_of(model)
    if shape is None:
        return most
    room, token = _SHARE * available_bytes(device), inference_token_bytes(shape, length)
    return halved_until(most, lambda n: n * token + logits_bytes(n, shape.vocabulary, device.type) <= room)


def generation_tokens(model: nn.Module, device: torch.device, length: int, beams: int = 1) -> int:
    """Most tokens of texts generated at a time, prompts included, each of up to `length` tokens by `beams` beams.

    Without a limit by the memory it is a large number: prompts are limited by `inference_tokens`, too.
    """
    shape = shape_of(model)
    if shape is None:
        return 1 << 40
    room = _SHARE * available_bytes(device)
    text = length * cache_token_bytes(shape, _CACHE_BYTES) + _GENERATION_LOGITS * 4 * shape.vocabulary
    return halved_until(1 << 40, lambda n: -(-n // max(1, length)) * beams * text <= room)


def _most(by_kind: dict[str, int], device: torch.device) -> int:
    return by_kind.get(device.type, by_kind["cuda"])
