"""Finds the newest checkpoint that can be trusted: by manifests, sizes and hashes, and never by names of folders."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from finetune_api.checkpoint import CHECKPOINTS
from finetune_api.failures import OutputNotWritable
from finetune_api.manifest import MANIFEST_NAME, FileEntry
from finetune_trainer.checkpoints.committed import Committed
from finetune_trainer.checkpoints.encoding import read_snapshot
from finetune_trainer.checkpoints.layout import Place, find_places
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.verification import Origin, UnusableError, check_manifest
from finetune_trainer.output.publish import file_sha256
from finetune_trainer.storage import Folder

_MOST_LISTINGS = 5


class _GoneError(UnusableError):
    """It was deleted since it was listed, as its attempt has a newer one by now."""


class CheckpointReader:
    """Reads what all attempts of a job have committed.

    Failures of the store (`StorageUnavailable`, `PermissionDenied`) and of the local disk are raised: they say nothing
    about a checkpoint. One that is broken is told of and left out.
    """

    def __init__(self, folder: Folder, scratch: Path, warned: Callable[[str], None]) -> None:
        """Take the output, a local folder for copies (made and removed here), and who is told of broken ones."""
        self._folder, self._scratch, self._warned = folder, scratch, warned
        self._broken: set[Place] = set()

    def newest(self, origin: Origin) -> tuple[Committed, Snapshot] | None:
        """The newest checkpoint that verifies, with its content; None where there is none."""
        for listings_left in reversed(range(_MOST_LISTINGS)):
            try:
                return self._newest_listed(origin, again=listings_left > 0)
            except _GoneError:
                continue
        return None

    def older(self, newest: Committed, origin: Origin) -> list[Committed]:
        """Those before `newest` whose manifests are sound, oldest first; their hashes are not looked at."""
        found = []
        for place, sizes in sorted(self._places().items()):
            if place < newest.place:
                try:
                    found.append(self._described(place, sizes, origin))
                except UnusableError:
                    continue
        return found

    def set_aside(self, uri: str, why: str) -> None:
        """Leave out the checkpoint at `uri` from now on, and tell why."""
        self._broken |= {place for place in self._places() if self._folder.uri(place.folder) == uri}
        self._warned(f"the checkpoint {uri} can't be used: {why}")

    def _newest_listed(self, origin: Origin, *, again: bool) -> tuple[Committed, Snapshot] | None:
        for place, sizes in sorted(self._places().items(), reverse=True):
            if place in self._broken:
                continue
            try:
                committed = self._described(place, sizes, origin)
                return committed, self._content(committed)
            except UnusableError as error:
                if again and isinstance(error, _GoneError):
                    raise
                self._broken.add(place)
                self._warned(f"the checkpoint {self._folder.uri(place.folder)} can't be used: {error}")
        return None

    def _places(self) -> dict[Place, dict[str, int]]:
        """Those that have a manifest. The others were never committed, or are half deleted."""
        places = find_places(self._folder.list(CHECKPOINTS))
        return {place: sizes for place, sizes in places.items() if MANIFEST_NAME in sizes}

    def _described(self, place: Place, sizes: Mapping[str, int], origin: Origin) -> Committed:
        with _may_be_gone(self._folder, place.manifest):
            content = self._folder.get(place.manifest)
        return Committed.of(place, check_manifest(content, place, sizes, origin), content)

    def _content(self, committed: Committed) -> Snapshot:
        copies = self._scratch / f"resume-{committed.place.step}"
        try:
            files = {entry.path: self._verified(committed.place, entry, copies) for entry in committed.manifest.files}
            return read_snapshot(committed.manifest, files)
        except ValueError as error:
            raise UnusableError(str(error)) from error
        finally:
            shutil.rmtree(copies, ignore_errors=True)  # what is mapped into memory stays until it is let go

    def _verified(self, place: Place, entry: FileEntry, copies: Path) -> Path:
        """A local file with the content that the manifest tells of; what came otherwise is fetched once again."""
        for _ in range(2):
            with _may_be_gone(self._folder, place.file(entry.path)):
                file = self._folder.fetch(place.file(entry.path), copies)
            if file.stat().st_size == entry.size and file_sha256(file) == entry.sha256:
                return file
        raise UnusableError(f"{entry.path} is not what was saved")


@contextmanager
def _may_be_gone(folder: Folder, path: str) -> Iterator[None]:
    """Tell a file that is gone from a disk that is full, which both are `OutputNotWritable` here."""
    try:
        yield
    except OutputNotWritable:
        if folder.exists(path):
            raise
        raise _GoneError(f"{path} is gone") from None
