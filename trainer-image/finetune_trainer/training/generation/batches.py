"""Batched generation with encoder-decoders, and texts as arrays: UTF-8 bytes, padded with -1."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.observer import Monitor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT = "text"
"""Name of such an output."""
_DECODER_ONLY = ("labels", "decoder_input_ids", "decoder_attention_mask")


class GenerationProgress:
    """`StoppingCriteria` that stops no text: it reports progress after each token, and sees stop requests.

    `rows` texts of at most `most` tokens count as done in proportion.
    Raises `KeyboardInterrupt` where a stop is requested.
    """

    def __init__(self, monitor: Monitor, rows: int, most: int) -> None:
        self._monitor, self._rows, self._most = monitor, rows, max(1, most)
        self._tokens = self._reported = 0

    def __call__(self, ids: Tensor, _scores: Any, **_: Any) -> Tensor:
        """Report one more token per text; False for each text, [rows]."""
        self._monitor.stop.check()
        self._tokens += 1
        self._report(min(self._rows, self._rows * self._tokens // self._most))
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

    def finish(self) -> None:
        """Complete the progress of a batch that ended early."""
        self._report(self._rows)

    def __deepcopy__(self, _memo: object) -> Self:
        """The same object: PEFT copies all that is given to `generate` of virtual tokens, and progress is one."""
        return self

    def _report(self, done: int) -> None:
        if done > self._reported:
            self._monitor.advance(done - self._reported)
            self._reported = done


def generate_seq2seq(
    model: nn.Module,
    batch: dict[str, Tensor],
    tokenizer: "PreTrainedTokenizerBase",
    progress: GenerationProgress | None = None,
) -> NDArray[np.int16]:
    """Texts that an encoder-decoder generates for a collated batch, by its own generation config, [rows, bytes].

    A stop request is seen after each token.
    """
    from transformers import StoppingCriteriaList

    inputs = {name: tensor for name, tensor in batch.items() if name not in _DECODER_ONLY}
    criterion = progress or GenerationProgress(Monitor(), 1, 1)
    generate: Any = model.generate
    ids = generate(**inputs, stopping_criteria=StoppingCriteriaList([criterion]))
    return as_bytes(tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def as_bytes(texts: list[str]) -> NDArray[np.int16]:
    """Texts as an array of UTF-8 bytes, one row each, padded with -1."""
    encoded = [np.frombuffer(text.strip().encode(errors="replace"), np.uint8) for text in texts]
    filled = np.full((len(texts), max(1, *map(len, encoded))), -1, np.int16)
    for row, content in zip(filled, encoded, strict=True):
        row[: len(content)] = content
    return filled


def as_texts(array: NDArray[np.int16]) -> list[str]:
    """Texts from an array of `as_bytes`."""
    return [row[row >= 0].astype(np.uint8).tobytes().decode(errors="replace") for row in array]
