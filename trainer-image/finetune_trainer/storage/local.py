"""Folders on disk with atomic, durable writes."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from secrets import token_hex
from shutil import copyfileobj, rmtree
from stat import S_ISREG
from tempfile import TemporaryDirectory

from finetune_api.failures import JobFailure, OutputExists, PermissionDenied
from finetune_trainer.storage.addresses import LOCAL, Address
from finetune_trainer.storage.disk_errors import reading, writing
from finetune_trainer.storage.folder import Listing, safe_path
from finetune_trainer.storage.mounted import OnDisk

_UNFINISHED = ".partial"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalFolder:
    """A folder on disk, created with the first file."""

    def __init__(self, place: OnDisk, address: Address, missing: type[JobFailure]) -> None:
        """Take the path, its name in messages, and the failure for missing files."""
        self._place, self._root = place, place.path
        self._address = address
        self._missing = missing

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Folder.put`."""
        target = self._at(path)
        with writing(self._shown(path)), _staged(target, data) as staged:
            staged.replace(target)

    def check_place(self) -> None:
        """Raise, as `put` does, where nothing can be written; tested with a temporary folder."""
        here = next(path for path in (self._root, *self._root.parents) if os.path.lexists(path))
        with writing(self._shown("")), TemporaryDirectory(prefix=_UNFINISHED, dir=here):
            return

    def put_new(self, path: str, data: bytes) -> None:
        """See `Folder.put_new`."""
        target = self._at(path)
        with writing(self._shown(path)), _staged(target, data) as staged:
            try:
                _name_if_free(staged, target)
            except FileExistsError:
                raise OutputExists(
                    f"{self._shown(path)} exists already", hint="choose another output, or delete it"
                ) from None

    def get(self, path: str) -> bytes:
        """See `Folder.get`."""
        with reading(self._shown(path), self._missing):
            return self._at(path).read_bytes()

    def download(self, path: str, to: Path) -> None:
        """See `Folder.download`."""
        source = self.fetch(path, to.parent)
        with writing(to), _staged(to, source) as staged:
            staged.replace(to)

    def fetch(self, path: str, scratch: Path) -> Path:  # noqa: ARG002 -- nothing is copied
        """See `Folder.fetch`."""
        target = self._at(path)
        with reading(self._shown(path), self._missing), target.open("rb"):
            return target

    def list(self, prefix: str = "") -> Listing:
        """See `Folder.list`. Incomplete writes are left out."""
        start = self._inside(prefix.strip("/"))
        with reading(self._shown(prefix), self._missing):
            return sorted((path.relative_to(self._root).as_posix(), size) for path, size in _files_below(start))

    def exists(self, path: str) -> bool:
        """See `Folder.exists`."""
        with reading(self._shown(path), self._missing):
            return self._at(path).is_file()

    def delete(self, path: str) -> None:
        """See `Folder.delete`."""
        with writing(self._shown(path)):
            self._at(path).unlink(missing_ok=True)

    def delete_all(self, prefix: str) -> None:
        """See `Folder.delete_all`. Empty folders are removed too, up to the folder itself."""
        target = self._at(prefix)
        with writing(self._shown(prefix)):
            while target.exists():
                with suppress(FileNotFoundError):  # another deletes there too
                    rmtree(target)
            with suppress(OSError):  # one that is not empty ends it
                for parent in takewhile(self._root.__ne__, target.parents):
                    parent.rmdir()

    def version(self, path: str) -> str:
        """See `Folder.version`."""
        with reading(self._shown(path), self._missing):
            found = self._at(path).stat()
            return f"{found.st_mtime_ns}-{found.st_size}"

    def uri(self, path: str = "") -> str:
        """See `Folder.uri`."""
        return str(self._address_of(path))

    def _address_of(self, path: str) -> Address:
        whole = f"{self._address.path}/{safe_path(path)}".lstrip("/") if path else self._address.path
        if self._address.scheme == LOCAL and path:
            whole = str(self._root / path)
        return Address(self._address.scheme, self._address.bucket, whole)

    def _shown(self, path: str) -> str:
        """Name of a file in messages: its path, or its address in a volume."""
        return str(self._root / path) if self._address.scheme == LOCAL else self.uri(path.strip("/"))

    def _at(self, path: str) -> Path:
        return self._inside(safe_path(path))

    def _inside(self, path: str) -> Path:
        """Path of a file; the folder itself for an empty one."""
        if self._place.leads_out(path):
            message = f"{self._shown(path)} leads out of {self._address.bucket or self._place.inside}"
            raise PermissionDenied(message, hint="put the file itself there instead of a link to it")
        return self._root / path


def _files_below(start: Path) -> Iterator[tuple[Path, int]]:
    """All files with their sizes, without those deleted concurrently."""
    for folder, _, names in os.walk(start, onerror=_pass_over):
        for name in names:
            with suppress(FileNotFoundError):
                found = Path(folder, name).stat()
                if S_ISREG(found.st_mode) and not name.endswith(_UNFINISHED):
                    yield Path(folder, name), found.st_size


def _pass_over(error: OSError) -> None:
    """Skip missing folders, and those without permission, such as `lost+found`."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
        raise error


@contextmanager
def _staged(target: Path, data: bytes | Path) -> Iterator[Path]:
    """Write a temporary file beside `target` for the caller to rename; leftovers are removed."""
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
    """Sync the directory entries of `folder`. Some network file systems refuse to sync folders."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)
