"""`OutputFolder`: storage protocol of an output: claim, data files, and the manifest last, create-only."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable, SpecInvalid, StorageUnavailable
from finetune_api.manifest import MANIFEST_NAME, FileEntry, Manifest
from finetune_api.outcome import Artifacts
from finetune_api.output import Output
from finetune_trainer.observer import Advance
from finetune_trainer.output.claims import NOBODY, Claim, check_claim, take_claim
from finetune_trainer.output.finished import FinishedRun, artifacts_of, find_finished
from finetune_trainer.storage import Folder, Patience, Site, commit, open_folder
from finetune_trainer.storage.commits import ONCE
from finetune_trainer.storage.local import LocalFolder

_UNCONDITIONAL = (
    "the store can't write create-only (If-None-Match), so two attempts that start in the same moment may both train; "
    "each keeps to files of its own, and the newest claim wins"
)
_LOST_HINT = "look for something else that writes or cleans there, or give the job another spec.output.uri"


def _unheard(_warning: str) -> None:
    """Nobody wants to know."""


class OutputFolder:
    """`<uri>/<job name>/<job uid>/`. Without a manifest it is not valid."""

    def __init__(self, output: Output, site: Site, name: str, uid: str) -> None:
        if site.mounts is not None and output.uri.startswith("file://"):
            hint = "use s3://, gs://, az:// or pvc://"
            raise SpecInvalid(f"{output.uri} would be lost with its pod", where="spec.output.uri", hint=hint)
        uri = f"{output.uri.rstrip('/')}/{name}/{uid}"
        self.folder: Folder = open_folder(uri, site, output.secret_ref, missing=OutputNotWritable)
        """The folder itself, for those who keep to the protocol."""
        self.job, self.uid = name, uid
        self.held: Claim = NOBODY
        """This run's claim."""
        self._may_be_written = False
        self.published: Artifacts | None = None
        """What this run has published: the manifest is written, and what it lists was found in the store."""

    @property
    def attempt(self) -> int:
        """Number of this run's claim; 0 before it claims."""
        return self.held.number

    def uri(self, path: str = "") -> str:
        """Address of a file in the folder, or of the folder."""
        return self.folder.uri(path)

    def check_place(self) -> None:
        """Raise `OutputNotWritable` for a folder on disk without write access; object stores are not tested."""
        if isinstance(self.folder, LocalFolder):
            self.folder.check_place()

    def finished(self, spec_digest: str) -> FinishedRun | None:
        """The finished run of an earlier attempt of this job. Raises as `find_finished` does."""
        return find_finished(self.folder, self.uid, spec_digest)

    def claim(self, warned: Callable[[str], None] = _unheard) -> None:
        """Claim the folder for this run, fencing older attempts. Raises `OutputNotWritable`.

        `warned` hears it where the store lacks what fencing needs.
        """
        self.held = take_claim(self.folder)
        if not self.held.conditional:
            warned(f"{self.uri()}: {_UNCONDITIONAL}")

    def check_owner(self) -> None:
        """Raise `Fenced` where a newer attempt has claimed the folder."""
        check_claim(self.folder, self.held)

    def put(self, path: str, data: bytes | Path) -> None:
        """Write one file."""
        self.folder.put(path, data)

    def commit(self, path: str, content: bytes, patience: Patience = ONCE) -> None:
        """Write a manifest create-only, if this run still owns the folder.

        `patience` says how long to go on where the store does not answer.

        Raises `Fenced` where it does not, or where another manifest is there already.
        """
        self.check_owner()
        try:
            commit(self.folder, path, content, conditional=self.held.conditional, patience=patience)
        except OutputExists as error:
            raise self._overtaken(path) from error

    def publish(self, staged: Path, manifest: Manifest, advance: Advance) -> Artifacts:
        """Upload the staged files and commit the manifest; the digest is of its content as read back.

        Raises `Fenced` as soon as a newer attempt has claimed the folder; nothing is committed then.
        """
        for entry in manifest.files:
            self.check_owner()
            if self.folder.exists(MANIFEST_NAME):  # of an older attempt: its files are not ours to replace
                raise self._overtaken(MANIFEST_NAME)
            self.folder.put(entry.path, staged / entry.path)
            advance(entry.size)
        self._check_sizes(manifest)
        content = manifest.model_dump_json(by_alias=True, indent=2).encode()
        try:
            self.commit(MANIFEST_NAME, content, Patience())
        except StorageUnavailable:
            self._may_be_written = True
            raise
        self._may_be_written = True
        self._check_manifest(content)
        self.published = artifacts_of(self.folder, manifest, hashlib.sha256(content).hexdigest())
        return self.published

    def withdraw(self) -> None:
        """Delete a manifest that this run wrote, so that an invalid output does not look finished.

        Raises `Fenced` where a newer attempt owns the folder, which may have taken it for the result.
        """
        if self._may_be_written:
            self.check_owner()
            self.folder.delete(MANIFEST_NAME)

    def _overtaken(self, path: str) -> Fenced:
        message = f"another attempt finished {self.uri(path)} while this one, attempt {self.held}, was at it"
        return Fenced(message, hint="nothing is lost: its result is there")

    def _check_sizes(self, manifest: Manifest) -> None:
        sizes = dict(self.folder.list())
        wrong = [entry.path for entry in manifest.files if sizes.get(entry.path) != entry.size]
        if wrong:
            raise OutputNotWritable(f"{self.uri()} does not hold what was written: {', '.join(wrong)}", hint=_LOST_HINT)

    def _check_manifest(self, content: bytes) -> None:
        try:
            stored = self.folder.get(MANIFEST_NAME)
        except OutputNotWritable as error:
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
