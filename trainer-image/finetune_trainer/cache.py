"""Cache folders of content-addressed results (tokens, features, models), and atomic writes to them."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Folder of one kind of result: below `$FINETUNE_CACHE`, else the user's cache folder (XDG)."""
    root = os.environ.get("FINETUNE_CACHE")
    if root:
        return Path(root) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune" / kind


def write_atomically(file: Path, write: Callable[[Path], None]) -> None:
    """Write `file` atomically: `write` fills a temporary file, which is then renamed.

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
