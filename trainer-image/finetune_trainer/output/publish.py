"""The storage protocol of an output folder: claim, data files, and the manifest last, create-only."""

import hashlib
from pathlib import Path

from finetune_api.failures import Fenced, OutputExists, OutputNotWritable, SpecInvalid
from finetune_api.manifest import MANIFEST_NAME, FileEntry, Manifest
from finetune_api.outcome import Artifacts
from finetune_api.output import Output
from finetune_trainer.observer import Advance
from finetune_trainer.output.claims import check_claim, take_claim
from finetune_trainer.output.finished import FinishedRun, artifacts_of, find_finished
from finetune_trainer.storage import Folder, Site, open_folder

_LOST_HINT = "look for something else that writes or cleans there, or give the job another spec.output.uri"


class OutputFolder:
    """`<uri>/<job name>/<job uid>/`. Without a manifest in it, it holds nothing that counts."""

    def __init__(self, output: Output, site: Site, name: str, uid: str) -> None:
        if site.mounts is not None and output.uri.startswith("file://"):
            hint = "use s3://, gs://, az:// or pvc://"
            raise SpecInvalid(f"{output.uri} would be lost with its pod", where="spec.output.uri", hint=hint)
        uri = f"{output.uri.rstrip('/')}/{name}/{uid}"
        self._folder: Folder = open_folder(uri, site, output.secret_ref, missing=OutputNotWritable)
        self._uid = uid
        self._written = False
        self.attempt = 0
        """Number of this run's claim; 0 before it has one."""
        self.committed = False
        """Whether the manifest is written, and what it lists was found in the store."""

    def uri(self, path: str = "") -> str:
        """Address of a file in the folder, or of the folder."""
        return self._folder.uri(path)

    def finished(self, spec_digest: str) -> FinishedRun | None:
        """What an earlier attempt of this job finished here. Raises as `find_finished` does."""
        return find_finished(self._folder, self._uid, spec_digest)

    def claim(self) -> None:
        """Take the folder for this run; older attempts are fenced from then on. Raises `OutputNotWritable`."""
        self.attempt = take_claim(self._folder)

    def check_owner(self) -> None:
        """Raise `Fenced` where a newer attempt has claimed the folder."""
        check_claim(self._folder, self.attempt)

    def put(self, path: str, data: bytes | Path) -> None:
        """Write one file."""
        self._folder.put(path, data)

    def publish(self, staged: Path, manifest: Manifest, advance: Advance) -> Artifacts:
        """Upload the staged files and commit the manifest; the digest is of what was read back from the store.

        Raises `Fenced` as soon as a newer attempt has claimed the folder; nothing is committed then.
        """
        for entry in manifest.files:
            self.check_owner()
            self._folder.put(entry.path, staged / entry.path)
            advance(entry.size)
        self._check_sizes(manifest)
        content = manifest.model_dump_json(by_alias=True, indent=2).encode()
        self._commit(content)
        self._check_manifest(content)
        self.committed = True
        return artifacts_of(self._folder, hashlib.sha256(content).hexdigest())

    def withdraw(self) -> None:
        """Take back a manifest that this run wrote: an output that turned out wrong must not look finished."""
        if self._written:
            self._folder.delete(MANIFEST_NAME)

    def _commit(self, content: bytes) -> None:
        self.check_owner()
        try:
            self._folder.put_new(MANIFEST_NAME, content)
        except OutputExists as error:
            message = f"another attempt finished {self.uri()} while this one, attempt {self.attempt}, was at it"
            raise Fenced(message, hint="nothing is lost: its result is there") from error
        self._written = True

    def _check_sizes(self, manifest: Manifest) -> None:
        sizes = dict(self._folder.list())
        wrong = [entry.path for entry in manifest.files if sizes.get(entry.path) != entry.size]
        if wrong:
            raise OutputNotWritable(f"{self.uri()} does not hold what was written: {', '.join(wrong)}", hint=_LOST_HINT)

    def _check_manifest(self, content: bytes) -> None:
        try:
            stored = self._folder.get(MANIFEST_NAME)
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
