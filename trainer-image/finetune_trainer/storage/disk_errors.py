"""`OSError` as failures."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from finetune_api.failures import JobFailure, OutputNotWritable, PermissionDenied, StorageUnavailable
from finetune_api.naming import near_names

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error numbers of a disk, a quota or a file that is full."""
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_LOOKED_AT = 1_000
_UNSTEADY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}


@contextmanager
def reading(path: object, missing: type[JobFailure]) -> Iterator[None]:
    """Convert an `OSError` about `path` into `missing`, `PermissionDenied` or `StorageUnavailable`; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise missing(f"{path} does not exist", hint=_remedy(Path(str(path)))) from error
        if error.errno in _NOT_ALLOWED:
            raise PermissionDenied(f"{path} may not be read by this user", hint="change its permissions") from error
        if error.errno == errno.EISDIR:
            raise missing(f"{path} is a folder, not a file", hint="name a file in it") from error
        if error.errno in _UNSTEADY:
            raise StorageUnavailable(f"{path} can't be read: {error.strerror}") from error
        raise


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Convert an `OSError` into `OutputNotWritable` or `StorageUnavailable`; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OutputNotWritable(f"no room to write {path}", hint="free space, or choose another output") from error
        if error.errno in _NOT_ALLOWED:
            raise OutputNotWritable(
                f"{path} may not be written by this user", hint="change the permissions, or choose another output"
            ) from error
        if error.errno in _IN_THE_WAY:
            raise OutputNotWritable(
                f"{path} can't be written: a file or folder is in the way", hint="choose another output"
            ) from error
        if error.errno in _UNSTEADY:
            raise StorageUnavailable(f"{path} can't be written: {error.strerror}") from error
        hint = "check that the place exists, that it may be written, and that it has room"
        raise OutputNotWritable(f"{path} can't be written: {error.strerror}", hint=hint) from error


def _remedy(missing: Path) -> str:
    """Suggestion for a missing path: a similar name beside it."""
    if any(sign in missing.name for sign in "*?"):
        return "patterns are not read: name a folder, such as data/, or the files one by one"
    folder, near = missing.parent, list[str]()
    with suppress(OSError):
        if not folder.is_dir():
            return f"check the path: there is no folder {folder}"
        near = near_names(missing.name, sorted(entry.name for entry in islice(folder.iterdir(), _LOOKED_AT)), count=1)
    return f"did you mean {near[0]}?" if near else "check the path"
