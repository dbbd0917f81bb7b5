"""Reader of checkpoints: finds the newest one that verifies by manifest, sizes and hashes, never by folder names."""

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
    """The checkpoint was deleted since the listing, because its attempt committed a newer one."""


class CheckpointReader:
    """Reads the committed checkpoints of all attempts of a job.

    Failures of the store (`StorageUnavailable`, `PermissionDenied`) and of the local disk are raised: they say nothing
    about a checkpoint. One that is broken is told of and left out.
    """

    def __init__(self, folder: Folder, scratch: Path, warned: Callable[[str], None]) -> None:
        """Take the output, a local folder for copies (created and removed here), and the receiver of warnings."""
        self._folder, self._scratch, self._warned = folder, scratch, warned
        self._broken: set[Place] = set()

    def newest(self, origin: Origin) -> tuple[Committed, Snapshot] | None:
        """The newest checkpoint that verifies, with its content; None without one."""
        for listings_left in reversed(range(_MOST_LISTINGS)):
            try:
                return self._newest_listed(origin, again=listings_left > 0)
            except _GoneError:
                continue
        return None

    def older(self, newest: Committed, origin: Origin) -> list[Committed]:
        """Checkpoints before `newest` with valid manifests, oldest first; their hashes are not verified."""
        found = []
        for place, sizes in sorted(self._places().items()):
            if place < newest.place:
                try:
                    found.append(self._described(place, sizes, origin))
                except UnusableError:
                    continue
        return found

    def set_aside(self, uri: str, why: str) -> None:
        """Exclude the checkpoint at `uri` from now on, and warn with the reason."""
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
        """Checkpoints with a manifest; all others were never committed, or are partly deleted."""
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
        """A local file that matches its manifest entry; a mismatch is fetched once more."""
        for _ in range(2):
            with _may_be_gone(self._folder, place.file(entry.path)):
                file = self._folder.fetch(place.file(entry.path), copies)
            if file.stat().st_size == entry.size and file_sha256(file) == entry.sha256:
                return file
        raise UnusableError(f"{entry.path} is not what was saved")


@contextmanager
def _may_be_gone(folder: Folder, path: str) -> Iterator[None]:
    """Distinguish a missing file from a full disk: both are `OutputNotWritable` here."""
    try:
        yield
    except OutputNotWritable:
        if folder.exists(path):
            raise
        raise _GoneError(f"{path} is gone") from None
