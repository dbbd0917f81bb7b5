"""Local copies of checkpoints on their way to the store. Nothing resumes from them."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from finetune_api.failures import OutputNotWritable
from finetune_api.manifest import FileEntry
from finetune_trainer.checkpoints.encoding import bytes_needed, write_snapshot
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.output.publish import list_files
from finetune_trainer.storage.disk_errors import NO_ROOM, writing

_MIB = 1 << 20


@dataclass(frozen=True)
class LocalCopy:
    """A complete checkpoint on local disk."""

    step: int
    """Optimiser steps that are done."""
    epoch: float
    """Passes over the training rows that are done."""
    metric: float | None
    """Newest value of `evaluation.metric`."""
    folder: Path
    """Where the files are."""
    files: tuple[FileEntry, ...]
    """The files with sizes and hashes, sorted."""

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(entry.size for entry in self.files)

    def remove(self) -> None:
        """Delete the local files."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Staging:
    """Folder of local copies, used by one owner: its content is removed at the start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)

    def write(self, snapshot: Snapshot) -> LocalCopy:
        """Write a snapshot to disk atomically, by renaming.

        Where there is no room, all other copies make way first. Raises `OutputNotWritable` where that is not enough,
        or where the disk refuses.
        """
        with writing(self._folder):
            try:
                return self._written(snapshot)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
            shutil.rmtree(self._folder)
            try:
                return self._written(snapshot)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                raise self._no_room(snapshot) from error

    def _written(self, snapshot: Snapshot) -> LocalCopy:
        copy, partial = self._folder / str(snapshot.step), self._folder / f"{snapshot.step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
        partial.mkdir(parents=True)
        if shutil.disk_usage(partial).free < bytes_needed(snapshot):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))
        write_snapshot(snapshot, partial)
        files = tuple(list_files(partial))
        partial.rename(copy)
        return LocalCopy(snapshot.step, snapshot.epoch, snapshot.metric, copy, files)

    def _no_room(self, snapshot: Snapshot) -> OutputNotWritable:
        needed = bytes_needed(snapshot) / _MIB
        shutil.rmtree(self._folder, ignore_errors=True)
        free = shutil.disk_usage(self._folder.parent).free / _MIB
        message = f"no room for the checkpoint at step {snapshot.step} in {self._folder}"
        hint = f"it takes {needed:,.0f} MiB there until it is uploaded, {free:,.0f} MiB are free: {_MAKE_ROOM}"
        return OutputNotWritable(message, hint=hint)


_MAKE_ROOM = "free some, set TMPDIR to a larger disk, or take a compute profile with more scratch space"
