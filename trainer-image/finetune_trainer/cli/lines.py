"""Line output to a stream whose reader may close it (`head`): a broken pipe never ends the run."""

import os
import sys
from io import TextIOWrapper
from typing import TextIO


class Lines:
    """Writes and flushes lines. After a broken pipe the rest is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write one line."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            drop_output(self._stream)


def drop_output(stream: TextIO) -> None:
    """Redirect further output, and the flush at exit, to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def show_what_can_be_shown() -> None:
    """Make standard output and error escape characters outside their encoding (`LANG=C`)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the encoding of a stream can encode a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
