"""Decompression of files, detected by magic bytes: gzip, bzip2, xz and Zstandard."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class _Compression:
    name: str
    magic: bytes
    open: Callable[[Path], Any]


def _zstandard(path: Path) -> IO[bytes]:
    from pyarrow import CompressedInputStream, OSFile

    return cast("IO[bytes]", CompressedInputStream(OSFile(str(path)), "zstd"))


_KNOWN = (
    _Compression("gzip", b"\x1f\x8b", gzip.open),
    *(_Compression("bzip2", b"BZh%d1AY&SY" % level, bz2.open) for level in range(1, 10)),
    _Compression("xz", b"\xfd7zXZ\0", lzma.open),
    _Compression("Zstandard", b"\x28\xb5\x2f\xfd", _zstandard),
)


def compression(path: Path) -> str:
    """The name of a file's compression; empty for none."""
    found = _compression(path)
    return found.name if found else ""


def open_bytes(path: Path) -> BufferedReader:
    """Open a file for reading, decompressed where it is compressed.

    Reading raises one of `BROKEN` where the file is damaged.
    """
    found = _compression(path)
    return BufferedReader(found.open(path)) if found else path.open("rb")


def _compression(path: Path) -> _Compression | None:
    with path.open("rb") as raw:
        start = raw.read(16)
    return next((known for known in _KNOWN if start.startswith(known.magic)), None)
