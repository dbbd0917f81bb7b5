"""Results of this project's jobs as models, verified by their manifest."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from finetune_api.base import SecretReference
from finetune_api.failures import ModelChanged, ModelNotFound, PermissionDenied
from finetune_api.manifest import MANIFEST_NAME, FileEntry, Manifest
from finetune_trainer.storage import Address, Folder, Site, on_disk, open_address
from finetune_trainer.storage.mounted import OnDisk

_MODEL = "model"
_CONFIG = "config.json"
_WHERE = "spec.model.uri"
_HINT = "nothing may change the output of a finished job: run that job again, or name another model"


@dataclass(frozen=True)
class Result:
    """The output of a finished job."""

    manifest: Manifest
    output: Folder
    """The output folder."""
    model: Folder
    """`model/` in it."""
    here: OnDisk | None
    """Where `model/` is on this machine; None in object stores."""
    digest: str
    """SHA-256 of the manifest, as `sha256:` and hexadecimal digits."""

    def model_files(self) -> dict[str, FileEntry]:
        """Manifest entries below `model/`, by their path in there."""
        prefix = f"{_MODEL}/"
        return {
            entry.path.removeprefix(prefix): entry for entry in self.manifest.files if entry.path.startswith(prefix)
        }

    def check_nothing_else(self, names: Iterable[str]) -> None:
        """Refuse files missing from the manifest: loading libraries might read them."""
        added = sorted(set(names) - set(self.model_files()))
        if added:
            raise self.changed(f"model/{added[0]} is not in its manifest")

    def check_sizes(self, folder: Path) -> None:
        """Refuse a result with a missing or truncated file, whether or not contents are verified."""
        for path, entry in self.model_files().items():
            file = folder / path
            if not file.is_file() or file.stat().st_size != entry.size:
                raise self.changed(f"model/{path} is missing, cut or changed")

    def differing(self, folder: Path, entries: Mapping[str, FileEntry]) -> list[str]:
        """Paths of the files in `folder` that differ from the manifest, by hash."""
        return [path for path, entry in entries.items() if not _is_as_listed(folder / path, entry)]

    def changed(self, what: str) -> ModelChanged:
        """The failure for a mismatch with the manifest."""
        return ModelChanged(f"{self.output.uri()}: {what}", where=_WHERE, hint=_HINT)


def find_result(
    address: Address, site: Site, secret: SecretReference | None, digest: str | None = None
) -> Result | None:
    """The result with its output folder, or its `model/` folder, at `address`; None without one.

    With `digest` the address is an output folder, and its manifest has that digest (`sha256:` and hexadecimal digits).
    Raises `ModelChanged` for another manifest, and the failures of reading it.
    """
    output = address.parent if digest is None and address.name == _MODEL else address
    try:
        folder = open_address(output, site, secret, missing=ModelNotFound)
        if not folder.exists(MANIFEST_NAME) or (output is address and folder.exists(_CONFIG)):
            return None
        content = folder.get(MANIFEST_NAME)
    except PermissionDenied:
        if output is address:
            raise
        return None  # who may read the model only need not be let into the folder above
    manifest = _parsed(content)
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if manifest is None or digest not in (None, found):
        if output is not address:
            return None  # some other project's manifest, beside some model
        what = "can't be read" if manifest is None else f"has the digest {found}, not {digest or 'one that is known'}"
        raise ModelChanged(f"{folder.uri()}: its {MANIFEST_NAME} {what}", where=_WHERE, hint=_HINT)
    place = Address(output.scheme, output.bucket, f"{output.path}/{_MODEL}".lstrip("/" if output.bucket else ""))
    model = open_address(place, site, secret, missing=ModelNotFound)
    return Result(manifest, folder, model, on_disk(place, site), found)


def _parsed(content: bytes) -> Manifest | None:
    try:
        return Manifest.model_validate_json(content, extra="ignore")
    except ValidationError:
        return None


def _is_as_listed(file: Path, entry: FileEntry) -> bool:
    try:
        with file.open("rb") as stream:
            same_size = file.stat().st_size == entry.size
            return same_size and hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256
    except FileNotFoundError:
        return False
