"""Where content-addressed results (tokens, features, models) are kept between runs."""

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Folder for one kind of result: below `$FINETUNE_CACHE`, else the user's cache folder (XDG)."""
    root = os.environ.get("FINETUNE_CACHE")
    if root:
        return Path(root) / kind
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune" / kind
