"""Create-only writes of small files that tolerate lost responses."""

import random
from functools import partial
from time import monotonic, sleep

from finetune_api.failures import OutputExists, StorageUnavailable
from finetune_trainer.storage.folder import Folder, Patience

_MOST_CONFLICTS = 3
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0
ONCE = Patience(retries=0)
"""For those who do the whole again anyway."""


def commit(folder: Folder, path: str, content: bytes, *, conditional: bool = True, patience: Patience = ONCE) -> None:
    """Write `content` to `path`; raise `OutputExists` where there is something else already.

    A file that holds just `content` is ours: an answer was lost, and the write was made again. So contents must be
    unlike those of any other writer. Without `conditional`, for stores that can't write create-only, two that write
    within the same moment may both believe that they won.

    Clients of object stores make a create-only write once: they can't know that here a second one does no harm.
    `patience` says how long to go on trying.

    Raises as `Folder.put_new` does.
    """
    start, wait = monotonic(), _FIRST_WAIT
    for tries_left in reversed(range(patience.retries + 1)):
        try:
            return _commit(folder, path, content, conditional=conditional)
        except StorageUnavailable:
            if not tries_left or monotonic() - start + wait > patience.seconds:
                raise
        sleep(wait * random.uniform(0.5, 1))  # noqa: S311 -- no secret depends on it
        wait = min(2 * wait, _LONGEST_WAIT)
    return None


def _commit(folder: Folder, path: str, content: bytes, *, conditional: bool) -> None:
    write = folder.put_new if conditional else partial(_put_if_free, folder)
    for tries_left in reversed(range(_MOST_CONFLICTS)):
        try:
            return write(path, content)
        except OutputExists:
            if folder.exists(path):
                if folder.get(path) == content:
                    return None
                raise
            if not tries_left:
                raise  # else of several writers none has won yet: S3 calls that a conflict, and wants another try
    return None


def _put_if_free(folder: Folder, path: str, content: bytes) -> None:
    if folder.exists(path):
        raise OutputExists(f"{folder.uri(path)} exists already", hint="choose another output, or delete it")
    folder.put(path, content)
    if folder.get(path) != content:
        raise OutputExists(f"{folder.uri(path)} was written by another at the same moment")
