"""A committed checkpoint, as its manifest describes it."""

import hashlib
from dataclasses import dataclass

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.manifest import ResumedRun
from finetune_api.status import CheckpointInfo
from finetune_trainer.checkpoints.layout import Place
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.storage import Folder


@dataclass(frozen=True)
class Committed:
    """A committed checkpoint: its manifest is in the store."""

    place: Place
    manifest: CheckpointManifest
    digest: str
    """SHA-256 of the manifest, in hexadecimal."""

    @classmethod
    def of(cls, place: Place, manifest: CheckpointManifest, content: bytes) -> "Committed":
        """Parse the stored manifest and keep its bytes."""
        return cls(place, manifest, hashlib.sha256(content).hexdigest())

    def info(self, folder: Folder) -> CheckpointInfo:
        """The checkpoint as status and termination message show it; `folder` is the output."""
        return CheckpointInfo(
            step=self.place.step,
            uri=folder.uri(self.place.folder),
            metric=self.manifest.metric,
            digest=f"sha256:{self.digest}",
        )


@dataclass(frozen=True)
class Resumed:
    """A checkpoint that was read and verified, from which training resumes."""

    snapshot: Snapshot
    manifest: CheckpointManifest
    info: CheckpointInfo
    run: ResumedRun | None = None
    """The other run that it is of; None for one of this run."""
