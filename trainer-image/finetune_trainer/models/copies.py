"""Local cache of a store's files, updated by their versions."""

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from finetune_trainer.cache import cache_folder, write_atomically
from finetune_trainer.storage import Folder

_VERSIONS = ".versions"


def copy_files(store: Folder, paths: Iterable[str], listed: Iterable[str]) -> Path:
    """Copy the files at `paths` that have changed since the last copy; returns their folder.

    Copies of what is not `listed` in the store any more are removed.
    """
    target = cache_folder("models") / hashlib.sha256(store.uri().encode()).hexdigest()[:32]
    known = _read_versions(target / _VERSIONS)
    for path in paths:
        version = store.version(path)
        if known.get(path) == version and (target / path).is_file():
            continue
        store.download(path, target / path)
        known[path] = version
        write_atomically(target / _VERSIONS, partial(_write_versions, known))
    for path in known.keys() - set(listed):
        (target / path).unlink(missing_ok=True)
    return target


def forget_copies(folder: Path, paths: Iterable[str]) -> None:
    """Remove corrupt copies, so that the next call downloads them again."""
    for path in paths:
        (folder / path).unlink(missing_ok=True)


def _read_versions(file: Path) -> dict[str, str]:
    """Version of each copied file; empty without a record."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _write_versions(versions: dict[str, str], file: Path) -> None:
    file.write_text(json.dumps(versions))
