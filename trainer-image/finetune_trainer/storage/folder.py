"""The interface that all stores share."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

Listing = list[tuple[str, int]]
"""Paths below a folder, sorted, each with its size in bytes."""


@dataclass(frozen=True)
class Patience:
    """How long to go on when a store does not answer. Waits between tries grow and are jittered."""

    retries: int = 6
    seconds: float = 90
    """No further try is made after this time."""


class NotCreateOnlyError(Exception):
    """The store refuses writes that depend on a condition: `put_new` can't be had there."""


class Folder(Protocol):
    """A folder in some store. Paths are relative, with forward slashes.

    Every method may raise `PermissionDenied` and `StorageUnavailable`; methods that read also raise the failure
    that the folder was opened with for what is missing (`DataNotFound`, `ModelNotFound`), methods that write
    `OutputNotWritable`.
    """

    def put(self, path: str, data: bytes | Path) -> None:
        """Write `data`, or the content of the file it names, in one go: readers see the old or the new content."""

    def put_new(self, path: str, data: bytes) -> None:
        """Write as `put` does, but raise `OutputExists` where there is anything already. Atomic: one of many wins.

        For small files: stores take them in one request. Raises `NotCreateOnlyError` where the store says that it
        can't; one that ignores the condition writes over what is there.
        """

    def get(self, path: str) -> bytes:
        """Read a file."""

    def download(self, path: str, to: Path) -> None:
        """Copy a file to the local path `to`, whose folder is made."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """Return a local file with the content: the file itself, or a copy below `scratch`."""

    def list(self, prefix: str = "") -> Listing:
        """List all files below the folder `prefix`, at any depth; empty where there is nothing."""

    def exists(self, path: str) -> bool:
        """Tell whether there is a file at `path`."""

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone already is fine."""

    def delete_all(self, prefix: str) -> None:
        """Delete everything below the folder `prefix`, unfinished writes too; nothing there is fine."""

    def version(self, path: str) -> str:
        """What changes whenever the content of a file does: an entity tag, or a time with the size."""

    def uri(self, path: str = "") -> str:
        """Address of a file, or of the folder itself."""


def safe_path(path: str) -> str:
    """Return `path` unless it leaves its folder, which raises `ValueError`: only a defect can cause that."""
    if not path or path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError(f"{path!r} is not a path inside the folder")
    return path
