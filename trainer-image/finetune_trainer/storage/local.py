"""Folders on disk. Writes are whole or not at all, and survive a crash of the machine."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from shutil import copyfileobj

from finetune_api.failures import JobFailure, OutputExists
from finetune_trainer.storage.addresses import LOCAL, Address
from finetune_trainer.storage.disk_errors import reading, writing
from finetune_trainer.storage.folder import Listing, safe_path

_UNFINISHED = ".partial"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalFolder:
    """A folder on disk; it is made with the first file."""

    def __init__(self, root: Path, missing: type[JobFailure]) -> None:
        """Take the absolute path of the folder and the failure for files that are not there."""
        self._root = root
        self._missing = missing

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Folder.put`."""
        target = self._at(path)
        with writing(target), _staged(target, data) as staged:
            staged.replace(target)

    def put_new(self, path: str, data: bytes | Path) -> None:
        """See `Folder.put_new`."""
        target = self._at(path)
        with writing(target), _staged(target, data) as staged:
            try:
                _name_if_free(staged, target)
            except FileExistsError:
                raise OutputExists(f"{target} exists already", hint="choose another output, or delete it") from None

    def get(self, path: str) -> bytes:
        """See `Folder.get`."""
        with reading(self._at(path), self._missing):
            return self._at(path).read_bytes()

    def download(self, path: str, to: Path) -> None:
        """See `Folder.download`."""
        source = self.fetch(path, to.parent)
        with writing(to), _staged(to, source) as staged:
            staged.replace(to)

    def fetch(self, path: str, scratch: Path) -> Path:  # noqa: ARG002 -- nothing is copied
        """See `Folder.fetch`."""
        target = self._at(path)
        with reading(target, self._missing), target.open("rb"):
            return target

    def list(self, prefix: str = "") -> Listing:
        """See `Folder.list`. Unfinished writes are left out."""
        start = self._at(prefix.strip("/")) if prefix.strip("/") else self._root
        with reading(start, self._missing):
            found = [p for p in start.rglob("*") if not p.name.endswith(_UNFINISHED) and p.is_file()]
            return sorted((p.relative_to(self._root).as_posix(), p.stat().st_size) for p in found)

    def exists(self, path: str) -> bool:
        """See `Folder.exists`."""
        with reading(self._at(path), self._missing):
            return self._at(path).is_file()

    def delete(self, path: str) -> None:
        """See `Folder.delete`."""
        with writing(self._at(path)):
            self._at(path).unlink(missing_ok=True)

    def uri(self, path: str = "") -> str:
        """See `Folder.uri`."""
        return str(Address(LOCAL, "", str(self._at(path) if path else self._root)))

    def _at(self, path: str) -> Path:
        return self._root / safe_path(path)


@contextmanager
def _staged(target: Path, data: bytes | Path) -> Iterator[Path]:
    """Write to a file beside `target` that the caller then gives its name; what is left of it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{token_hex(8)}{_UNFINISHED}")
    try:
        with data.open("rb") if isinstance(data, Path) else BytesIO(data) as content, staged.open("xb") as copy:
            copyfileobj(content, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        yield staged
        _sync_names(target.parent)
    finally:
        staged.unlink(missing_ok=True)


def _name_if_free(staged: Path, target: Path) -> None:
    """Give `staged` the name `target`, or raise `FileExistsError`.

    A hard link does it in one step. File systems without links get an empty file first, which claims the name just
    as safely; only a reader in between could see it empty.
    """
    try:
        os.link(staged, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        target.touch(exist_ok=False)
        staged.replace(target)


def _sync_names(folder: Path) -> None:
    """Make new names in `folder` survive a crash. Some network file systems refuse to sync folders."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)
