"""`Folder`, the interface of all stores."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

Listing = list[tuple[str, int]]
"""Paths below a folder, sorted, each with its size in bytes."""


@dataclass(frozen=True)
class Patience:
    """Retry limits while a store does not answer, with exponential back-off and jitter."""

    retries: int = 6
    seconds: float = 90
    """No further try is made after this time."""


class NotCreateOnlyError(Exception):
    """The store does not support conditional writes, and so no `put_new`."""


class Folder(Protocol):
    """A folder in some store. Paths are relative, with forward slashes.

    Every method may raise `PermissionDenied` and `StorageUnavailable`; methods that read also raise the failure
    that the folder was opened with for what is missing (`DataNotFound`, `ModelNotFound`), methods that write
    `OutputNotWritable`.
    """

    def put(self, path: str, data: bytes | Path) -> None:
        """Write `data`, or the content of the file it names, atomically."""

    def put_new(self, path: str, data: bytes) -> None:
        """Write as `put` does, but raise `OutputExists` for an existing file. Atomic under concurrency.

        For small files: stores take them in one request. Raises `NotCreateOnlyError` where the store says that it
        can't; one that ignores the condition writes over what is there.
        """

    def get(self, path: str) -> bytes:
        """Read a file."""

    def download(self, path: str, to: Path) -> None:
        """Copy a file to the local path `to`, whose folder is made."""

    def fetch(self, path: str, scratch: Path) -> Path:
        """A local file with the content: the file itself, or a copy below `scratch`."""

    def list(self, prefix: str = "") -> Listing:
        """List all files below the folder `prefix`, recursively; empty without any."""

    def exists(self, path: str) -> bool:
        """Whether there is a file at `path`."""

    def delete(self, path: str) -> None:
        """Delete a file; a missing one is ignored."""

    def delete_all(self, prefix: str) -> None:
        """Delete everything below the folder `prefix`, incomplete writes included; a missing one is ignored."""

    def version(self, path: str) -> str:
        """Version of a file's content: an entity tag, or modification time and size."""

    def uri(self, path: str = "") -> str:
        """Address of a file, or of the folder itself."""


def safe_path(path: str) -> str:
    """`path`, or `ValueError` if it leaves its folder, which only a defect can cause."""
    if not path or path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError(f"{path!r} is not a path inside the folder")
    return path
