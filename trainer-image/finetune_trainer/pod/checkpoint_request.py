"""Checkpoint requests through a mounted file."""

import time
from contextlib import suppress
from pathlib import Path

_SECONDS_BETWEEN = 1.0
_LONGEST = 128


class CheckpointRequest:
    """The newest request in a file that the kubelet updates; called at every step."""

    def __init__(self, file: Path) -> None:
        self._file, self._text, self._next = file, "", 0.0

    def __call__(self) -> str:
        """The file's text, at most a second old; empty where nothing was asked for or the file can't be read."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _SECONDS_BETWEEN
            with suppress(OSError, UnicodeDecodeError):
                self._text = self._file.read_text(encoding="utf-8").strip()[:_LONGEST]
        return self._text
