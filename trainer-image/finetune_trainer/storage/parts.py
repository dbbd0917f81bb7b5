"""Multipart upload sizes. Stores take at most 10,000 parts, of which only the last may be small."""

from dataclasses import dataclass

MOST_PARTS = 10_000
"""S3 and Google Cloud Storage; Azure takes more."""
_MIB = 1 << 20
_SMALLEST = 8 * _MIB
_AT_ONCE = 4
_MEMORY = 256 * _MIB


@dataclass(frozen=True)
class Parts:
    """Part size and number of parts."""

    size: int
    """Bytes of a part."""
    at_once: int
    """Parts that are on their way at the same time; each is in memory while it is."""


def parts_of(size: int) -> Parts:
    """Parts for a file of `size` bytes: 8 MiB each, or larger where that would be too many.

    Few go at a time: all of them must get through before the first is waited for too long, on slow lines too. Parts
    under way take 256 MiB of memory at most, two large parts excepted (files above 1.2 TiB).
    """
    part = max(_SMALLEST, -(-size // (MOST_PARTS * _MIB)) * _MIB)
    return Parts(part, at_once=max(2, min(_AT_ONCE, _MEMORY // part)))
