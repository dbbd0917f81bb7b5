"""Text of a job file, from a path or standard input."""

import re
import sys
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from pathlib import Path

from finetune_api.failures import ManifestUnreadable, Problem
from finetune_api.naming import near_names

LARGEST = 256 * 1024
"""Bytes. Jobs take a few KiB; an annotation of the API server, where the operator puts them, holds 256 KiB."""

_ENDINGS = (".yaml", ".yml", ".json")
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Source:
    """A job file as text. `name` is used in messages, relative URIs start from `base`."""

    name: str
    text: str
    base: Path


def read_source(path: Path | str) -> Source:
    """Read `path`, or standard input for `-`. Raises `ManifestUnreadable`."""
    if str(path) == "-":
        return _standard_input()
    path = Path(path)
    return Source(str(path), _decoded(_content(path), str(path)), path.absolute().parent)


def _standard_input() -> Source:
    try:
        content, base = sys.stdin.buffer.read(LARGEST + 1), Path.cwd()
    except (OSError, AttributeError) as error:  # AttributeError: closed streams are None
        hint = "pipe a job into the command, or name a file"
        raise ManifestUnreadable("standard input can't be read", where="stdin", hint=hint) from error
    return Source("stdin", _decoded(content, "stdin"), base)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise ManifestUnreadable("there is no such file", where=str(path), hint=_others(path)) from error
    except IsADirectoryError as error:
        hint = _others(path / "job.yaml") or "name a file in it"
        raise ManifestUnreadable("this is a folder, a job is a file", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "check the path and who may read it"
        raise ManifestUnreadable(f"can't be read: {reason}", where=str(path), hint=hint) from error


def _others(path: Path) -> str:
    """Hint with the job files beside a `path` that does not exist."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if _may_be_job(entry))
    except OSError:
        return "check the path"
    near = near_names(path.name, names)
    if near:
        return f"did you mean {path.parent / near[0]}?"
    return f"job files there: {', '.join(names[:8])}" if names else "check the path"


def _may_be_job(entry: Path) -> bool:
    """Whether a file contains the kind of a job: other tools use YAML too."""
    if entry.suffix not in _ENDINGS or entry.name.startswith("."):
        return False
    try:
        with entry.open("rb") as file:
            return b"FineTuneJob" in file.read(LARGEST)
    except OSError:
        return False


def _decoded(content: bytes, name: str) -> str:
    if len(content) > LARGEST:
        hint = "a job takes a few KiB; keep rows in data files"
        raise ManifestUnreadable(f"larger than {LARGEST // 1024} KiB", where=name, hint=hint)
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = (
            "is not text" if b"\0" in content else f"is not {error.encoding.upper()} (byte {content[error.start]:#04x})"
        )
        raise ManifestUnreadable(what, where=f"{name}:{line}", hint="save the job as UTF-8 text") from error
    return _printable(text, name)


def _encoding(content: bytes) -> str:
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if content.startswith(BOM_UTF8) else "utf-8"


def _printable(text: str, name: str) -> str:
    found = _NOT_TEXT.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        problem = Problem(
            f"control character U+{ord(found[0]):04X}", f"{name}:{line}", "remove it, or save as UTF-8 text"
        )
        raise ManifestUnreadable(problem)
    return text
