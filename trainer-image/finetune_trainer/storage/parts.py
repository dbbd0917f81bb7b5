"""How a file is cut for its upload. Stores take at most 10,000 parts, of which the last alone may be small."""

from dataclasses import dataclass

MOST_PARTS = 10_000
"""S3 and Google Cloud Storage; Azure takes more."""
_MIB = 1 << 20
_SMALLEST = 8 * _MIB
_AT_ONCE = 4
_MEMORY = 256 * _MIB


@dataclass(frozen=True)
class Parts:
    """A way to cut a file."""

    size: int
    """Bytes of a part."""
    at_once: int
    """Parts that are on their way at the same time; each is in memory while it is."""


def parts_of(size: int) -> Parts:
    """How to cut a file of `size` bytes: in parts of 8 MiB, or larger ones where that would be too many.

    Few go at a time: all of them must get through before the first is waited for too long, on slow lines too. Parts
    under way take 256 MiB of memory at most, two large parts excepted (files above 1.2 TiB).
    """
    part = max(_SMALLEST, -(-size // (MOST_PARTS * _MIB)) * _MIB)
    return Parts(part, at_once=max(2, min(_AT_ONCE, _MEMORY // part)))
