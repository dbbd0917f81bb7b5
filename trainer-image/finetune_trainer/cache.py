"""Where content-addressed results (tokens, features, models) are kept between runs."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Folder for one kind of result: below `$FINETUNE_CACHE`, else the user's cache folder (XDG)."""
    root = os.environ.get("FINETUNE_CACHE")
    if root:
        return Path(root) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune" / kind


def write_atomically(file: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make `file` under another name, then rename it: a file that is there is whole.

    A cache that can't be written (full, read-only) costs time, not the run: nothing is kept then.
    """
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        os.close(handle)
        try:
            write(Path(name))
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
