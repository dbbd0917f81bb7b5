"""Text that a model writes for many rows, as outputs that can be stored: UTF-8 bytes, filled up with -1."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.signals import check_stop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT = "text"
"""Name of such an output."""
_DECODER_ONLY = ("labels", "decoder_input_ids", "decoder_attention_mask")


def write(model: nn.Module, batch: dict[str, Tensor], tokenizer: "PreTrainedTokenizerBase") -> NDArray[np.int16]:
    """What an encoder-decoder writes for a collated batch, by its own generation config, [rows, bytes].

    A stop that is asked for is seen after each token.
    """
    from transformers import StoppingCriteriaList

    inputs = {name: tensor for name, tensor in batch.items() if name not in _DECODER_ONLY}
    generate: Any = model.generate
    ids = generate(**inputs, stopping_criteria=StoppingCriteriaList([looks_for_a_stop]))
    return as_bytes(tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def as_bytes(texts: list[str]) -> NDArray[np.int16]:
    """Texts as an array, one row each, filled up with -1."""
    encoded = [np.frombuffer(text.strip().encode(errors="replace"), np.uint8) for text in texts]
    filled = np.full((len(texts), max(1, *map(len, encoded))), -1, np.int16)
    for row, content in zip(filled, encoded, strict=True):
        row[: len(content)] = content
    return filled


def as_texts(array: NDArray[np.int16]) -> list[str]:
    """The texts in an array that `as_bytes` made."""
    return [row[row >= 0].astype(np.uint8).tobytes().decode(errors="replace") for row in array]


def looks_for_a_stop(ids: Tensor, _scores: Any, **_: Any) -> Tensor:
    """A stopping criterion that ends no text, but raises `KeyboardInterrupt` where a stop is asked for."""
    check_stop()
    return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
