"""The storage protocol of an output folder: claim, data files, and the manifest last, create-only."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.failures import DataNotFound, OutputExists, OutputNotWritable
from finetune_api.manifest import MANIFEST_NAME, FileEntry, Manifest
from finetune_trainer.observer import Advance
from finetune_trainer.storage import Folder, open_folder

_LOST_HINT = "look for something else that writes or cleans there, or give the job another spec.output.uri"


class OutputFolder:
    """`<uri>/<job name>/<job uid>/`. Without a manifest in it, it holds nothing that counts."""

    def __init__(self, uri: str, base: Path, name: str, uid: str) -> None:
        self._folder: Folder = open_folder(f"{uri.rstrip('/')}/{name}/{uid}", base)
        self._written = False
        self.claimed = False
        """Whether the folder is this run's."""
        self.committed = False
        """Whether the manifest is written, and what it lists was found in the store."""

    def uri(self, path: str = "") -> str:
        """Address of a file in the folder, or of the folder."""
        return self._folder.uri(path)

    def claim(self) -> None:
        """Take the folder for this run; also proves, before any training, that it can be written.

        Raises `OutputExists` where a run has finished or another one is under way.
        """
        if self._folder.exists(MANIFEST_NAME):
            hint = "give the job another name or uid, or another spec.output.uri"
            raise OutputExists(f"{self.uri()} already holds a finished run", where="spec.output.uri", hint=hint)
        self._folder.put_new("claims/1", datetime.now(UTC).isoformat().encode())
        self.claimed = True

    def put(self, path: str, data: bytes | Path) -> None:
        """Write one file."""
        self._folder.put(path, data)

    def publish(self, staged: Path, manifest: Manifest, advance: Advance) -> str:
        """Upload the staged files and commit the manifest; returns its SHA-256, read back from the store."""
        for entry in manifest.files:
            self._folder.put(entry.path, staged / entry.path)
            advance(entry.size)
        self._check_sizes(manifest)
        content = manifest.model_dump_json(by_alias=True, indent=2).encode()
        self._folder.put_new(MANIFEST_NAME, content)
        self._written = True
        self._check_manifest(content)
        self.committed = True
        return hashlib.sha256(content).hexdigest()

    def withdraw(self) -> None:
        """Take back a manifest that this run wrote: an output that turned out wrong must not look finished."""
        if self._written:
            self._folder.delete(MANIFEST_NAME)

    def _check_sizes(self, manifest: Manifest) -> None:
        sizes = dict(self._folder.list())
        wrong = [entry.path for entry in manifest.files if sizes.get(entry.path) != entry.size]
        if wrong:
            raise OutputNotWritable(f"{self.uri()} does not hold what was written: {', '.join(wrong)}", hint=_LOST_HINT)

    def _check_manifest(self, content: bytes) -> None:
        try:
            stored = self._folder.get(MANIFEST_NAME)
        except DataNotFound as error:
            message = f"{self.uri(MANIFEST_NAME)} is gone right after it was written"
            raise OutputNotWritable(message, hint=_LOST_HINT) from error
        if stored != content:
            message = f"{self.uri(MANIFEST_NAME)} does not hold what was written"
            raise OutputNotWritable(message, hint=_LOST_HINT)


def list_files(staged: Path) -> list[FileEntry]:
    """All files below `staged`, sorted by path, with size and hash."""
    return [
        FileEntry(path=file.relative_to(staged).as_posix(), size=file.stat().st_size, sha256=file_sha256(file))
        for file in sorted(staged.rglob("*"))
        if file.is_file()
    ]


def file_sha256(file: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
