"""From bytes to text: compression, byte order marks, encodings, and files that are not what they claim to be."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from typing import TextIO

from finetune_api.failures import DataUnreadable, SpecInvalid
from finetune_trainer.data.reading.compression import BROKEN, compression, open_bytes
from finetune_trainer.data.reading.file_kinds import known_kind
from finetune_trainer.data.reading.files import DataFile

_BOMS = (  # longest first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PEEK = 4096


@contextmanager
def open_text(file: DataFile, newline: str = "") -> Iterator[TextIO]:
    """Open a text file for reading, unpacked and decoded; `newline` is as in `open`.

    A byte order mark wins over the encoding of the spec. Raises `DataUnreadable` (also while the caller reads) for
    undecodable bytes, broken compression and files of another kind, `SpecInvalid` for an encoding that doesn't exist.
    """
    packed = compression(file.path)
    try:
        with open_bytes(file.path) as content:
            encoding = _encoding(file, _peek(content))
            with TextIOWrapper(content, encoding=encoding, newline=newline) as text:
                yield text
    except UnicodeDecodeError:
        raise _undecodable(file) from None
    except BROKEN as error:
        if not packed:
            raise
        raise DataUnreadable(f"broken {packed}: {error}", where=file.name, hint=_AGAIN) from None


_AGAIN = "copy or download the file again"


def _peek(content: BufferedReader) -> bytes:
    return content.peek(_PEEK)[:_PEEK]


def _encoding(file: DataFile, start: bytes) -> str:
    for bom, encoding in _BOMS:
        if start.startswith(bom):
            return encoding
    kind = known_kind(start)
    if kind is not None:
        raise DataUnreadable(f"this is {kind.name}", where=file.name, hint=kind.hint.format(field=file.field))
    encoding = _checked(file)
    if "16" not in encoding and "32" not in encoding and start.count(b"\0") > len(start) // 4:
        order = "be" if start.startswith(b"\0") else "le"
        raise DataUnreadable(
            "every other byte is zero: this looks like UTF-16 without a byte order mark",
            where=f"{file.name}:1",
            hint=f"set {file.field}.encoding: utf-16-{order}, or save it as UTF-8",
        )
    return encoding


def _checked(file: DataFile) -> str:
    try:
        "a".encode(file.encoding)  # refuses codecs that are no text encodings, which look-up alone lets through
        return codecs.lookup(file.encoding).name
    except LookupError:
        raise SpecInvalid(
            f"{file.encoding!r} is no text encoding",
            where=f"{file.field}.encoding",
            hint="common ones: utf-8, windows-1252, latin-1, utf-16, shift_jis, gb18030",
        ) from None


def _undecodable(file: DataFile) -> DataUnreadable:
    with open_bytes(file.path) as content:
        encoding = _encoding(file, _peek(content))
        line, byte, text = _first_undecodable(content, encoding)
    hint = "save the file as UTF-8"
    guess = _guess(text, encoding)
    if guess:
        hint += f", or set {file.field}.encoding: {guess} (it would read {_around(text, guess)!r})"
    else:
        hint += f", or set {file.field}.encoding to what it is written in"
    return DataUnreadable(f"byte 0x{byte:02x} is not {encoding}", where=f"{file.name}:{line}", hint=hint)


def _first_undecodable(content: BufferedReader, encoding: str) -> tuple[int, int, tuple[bytes, int]]:
    """Find line, byte and context (bytes, position in them) of the first byte that does not decode."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    while True:
        chunk = content.read(1 << 16)
        try:
            line += decoder.decode(chunk, final=not chunk).count("\n")
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            line += before.decode(encoding, errors="replace").count("\n")
            start = max(0, error.start - 20)
            return line, error.object[error.start], (error.object[start : error.start + 20], error.start - start)


def _guess(text: tuple[bytes, int], encoding: str) -> str:
    """An encoding that western files often have and that these bytes fit; empty where none does."""
    around, _ = text
    for candidate in ("windows-1252", "latin-1"):
        if candidate != encoding and not encoding.startswith(("utf-16", "utf-32")):
            try:
                around.decode(candidate)
            except UnicodeDecodeError:
                continue
            return candidate
    return ""


def _around(text: tuple[bytes, int], encoding: str) -> str:
    around, position = text
    words = around.decode(encoding, errors="replace")
    start = words.rfind("\n", 0, position) + 1
    end = words.find("\n", position)
    return words[start : end if end >= 0 else None].strip()
