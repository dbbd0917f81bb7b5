"""Verification of a checkpoint's manifest against the job, its sizes and its lineage. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.manifest import MANIFEST_NAME, Lineage
from finetune_trainer.checkpoints.encoding import STATE
from finetune_trainer.checkpoints.layout import Place

_ORIGINS = {"spec_digest": "another spec", "data_digest": "other data", "model_digest": "another base model"}


class UnusableError(Exception):
    """The run can't resume from this checkpoint; the message gives the reason, after `it`."""


@dataclass(frozen=True)
class Origin:
    """Lineage that a checkpoint must have."""

    uid: str
    """UID of the job; empty where any will do."""
    lineage: Lineage
    """What the training starts from; versions of libraries may differ."""
    of_same_spec: bool = True
    """Whether the spec has to be the very same one."""


def check_manifest(content: bytes, place: Place, sizes: Mapping[str, int], origin: Origin) -> CheckpointManifest:
    """Verify the manifest of the checkpoint at `place`; `sizes` are those of its stored files. Raises `UnusableError`.

    Contents of files are not looked at: that takes a download.
    """
    try:
        manifest = CheckpointManifest.model_validate_json(content, strict=True)
    except ValidationError:
        raise UnusableError("its manifest can't be read") from None
    if (manifest.step, manifest.attempt) != (place.step, place.claim.number):
        raise UnusableError("its manifest is of another checkpoint")
    _check_origin(manifest, origin)
    _check_files(manifest, sizes)
    return manifest


def _check_origin(manifest: CheckpointManifest, origin: Origin) -> None:
    if origin.uid and manifest.uid != origin.uid:
        raise UnusableError("it is of another job")
    for field, other in _ORIGINS.items():
        if field == "spec_digest" and not origin.of_same_spec:
            continue
        if getattr(manifest.lineage, field) != getattr(origin.lineage, field):
            raise UnusableError(f"it was made from {other}")


def _check_files(manifest: CheckpointManifest, sizes: Mapping[str, int]) -> None:
    names = [entry.path for entry in manifest.files]
    if any(PurePosixPath(name).name != name for name in names) or len(set(names)) < len(names):
        raise UnusableError("its manifest names files that no checkpoint has")
    if STATE not in names or MANIFEST_NAME in names:
        raise UnusableError(f"its manifest lacks {STATE}")
    wrong = [entry.path for entry in manifest.files if sizes.get(entry.path) != entry.size]
    if wrong:
        raise UnusableError(f"{', '.join(wrong[:3])} is missing or cut")
