"""Text decoding of files: compression, byte order marks, encodings, and misnamed binary files."""

import codecs
import re
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
_WESTERN = ("windows-1252", "latin-1")
_OTHERS = ("gb18030", "shift_jis", "euc_kr", "windows-1251")
_WORD = re.compile(rb"[\x80-\xff]{4}|[\x80-\xff][^\n\r ,;\t][\x80-\xff][^\n\r ,;\t][\x80-\xff]")


@contextmanager
def open_text(file: DataFile, newline: str = "") -> Iterator[TextIO]:
    """Open a text file for reading, decompressed and decoded; `newline` is as in `open`.

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
    readings = [f"{guess} (it would read {read!r})" for guess, read in _guesses(text, encoding)]
    hint = f"save the file as UTF-8, or set {file.field}.encoding"
    hint += f": {' or '.join(readings)}" if readings else " to what it is written in"
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


def _guesses(text: tuple[bytes, int], encoding: str) -> Iterator[tuple[str, str]]:
    """Encodings under which these bytes decode, with the resulting text.

    One of western files, or several for words of bytes beyond ASCII: Chinese, Japanese, Korean, Cyrillic.
    """
    around, position = text
    if encoding.startswith(("utf-16", "utf-32")):
        return
    if _WORD.match(around, position) is None:
        fits = (name for name in _WESTERN if name != encoding and _decoded(around, name))
        yield from ((name, _around(text, name)) for name in list(fits)[:1])
        return
    word = around[position:].splitlines()[0]
    yield from ((name, read) for name in _OTHERS if name != encoding and (read := _decoded(word, name)))


def _decoded(content: bytes, encoding: str) -> str:
    """Text of bytes that may end within a character; empty if they don't decode."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content)
    except UnicodeDecodeError:
        return ""


def _around(text: tuple[bytes, int], encoding: str) -> str:
    around, position = text
    words = around.decode(encoding, errors="replace")
    start = words.rfind("\n", 0, position) + 1
    end = words.find("\n", position)
    return words[start : end if end >= 0 else None].strip()
