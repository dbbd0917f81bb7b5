"""Chunks of the projection onto the vocabulary."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHUNK_VALUES = {"cpu": 1 << 25, "cuda": 1 << 27}
"""Logits that are there at a time by kind of device: 128 MiB, or 512 MiB, in FP32.

A matrix product with fewer positions reads more of the layer's weights than it computes. The size depends on nothing
else, so that a run on a machine with more memory gives the same numbers.
"""
WHOLE_VALUES = {"cpu": 1 << 27, "cuda": 1 << 27}
"""Logits up to which a pass with gradients has them all at once: chunks would be computed twice to save little."""
_LARGE = 1 << 16
"""Vocabulary above which it never has: passes that are halved would need more memory than before."""
_ASSUMED = ContextVar[str]("assumed", default="")
_COPIES = 4
"""Such matrices at the peak of a backward pass: logits, their logarithms, and gradients of both."""


def chunk_positions(vocabulary: int, kind: str) -> int:
    """Most positions whose logits are computed at a time on a kind of device; 1 at least."""
    return max(1, CHUNK_VALUES.get(_ASSUMED.get() or kind, CHUNK_VALUES["cuda"]) // max(1, vocabulary))


@contextmanager
def chunks_as_on(kind: str) -> Iterator[None]:
    """Inside the block, chunks are those of this kind of device: for an estimate of one that is not here."""
    token = _ASSUMED.set(kind)
    try:
        yield
    finally:
        _ASSUMED.reset(token)


def whole_positions(vocabulary: int, kind: str) -> int:
    """Most positions whose logits are all computed at once for a backward pass."""
    return 0 if vocabulary > _LARGE else WHOLE_VALUES.get(kind, WHOLE_VALUES["cuda"]) // max(1, vocabulary)


def logits_bytes(positions: int, vocabulary: int, kind: str) -> int:
    """Bytes of logits and of what the loss makes of them, at most, for so many labelled positions."""
    is_whole = positions <= whole_positions(vocabulary, kind)
    return _COPIES * 4 * vocabulary * (positions if is_whole else min(positions, chunk_positions(vocabulary, kind)))
