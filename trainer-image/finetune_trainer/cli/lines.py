"""Lines to a stream whose reader may go away: losing sight of a run never ends it."""

import os
import sys
from io import TextIOWrapper
from typing import TextIO


class Lines:
    """Writes lines, each at once. When nobody reads any more (`| head`), the rest is dropped."""

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
    """Send what is still to come, and what Python flushes at its end, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def show_what_can_be_shown() -> None:
    """Have standard output and error escape what their encoding can't hold (`LANG=C`), rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the encoding of a stream holds a text as it is."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
