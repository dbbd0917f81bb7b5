"""Where the project keeps what is dear to make: outside the tree, one folder a user."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_SCRATCH = "under-way-"


def caches() -> Path:
    """The folder, below `$XDG_CACHE_HOME`; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune"


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make a folder inside `folder` for what is not ready; it is gone afterwards.

    The caller has the turn for `folder`: what killed processes left in it is removed first.
    """
    for left in folder.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_SCRATCH, dir=folder, ignore_cleanup_errors=True) as made:
        yield Path(made)
