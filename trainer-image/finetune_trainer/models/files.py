"""`ModelFiles`: a model on local disk, whole or an adapter over another."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from finetune_trainer.models.adapters import ADAPTER_CONFIG
from finetune_trainer.models.layout import WEIGHTS
from finetune_trainer.models.results import Result


@dataclass(frozen=True)
class ModelFiles:
    """A model on local disk: whole, or an adapter over another."""

    uri: str
    """The model as the job names it."""
    folder: Path
    """Config, safetensors weights and tokenizer."""
    revision: str
    """Commit of an `hf://` model, else empty."""
    name: str = ""
    """What an adapter over it calls its base: repository, path on disk, or address in a store."""
    base: "ModelFiles | None" = None
    """What it is an adapter over; None for a whole model."""
    parent_uid: str = field(default="", kw_only=True)
    """UID of the job whose result it is; empty for other models."""
    result: Result | None = field(default=None, kw_only=True, repr=False, compare=False)
    """The result that it is; None for other models."""

    @property
    def is_here(self) -> bool:
        """Whether it was local to begin with, so that missing files can't be downloaded."""
        return self.uri.startswith("file://")

    def digest(self) -> str:
        """SHA-256 over the weight files, those of its base included, in hexadecimal. Reads all of them, once."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256()
        if self.base is not None:
            total.update(bytes.fromhex(self.base.digest()))
            total.update(hashlib.sha256((self.folder / ADAPTER_CONFIG).read_bytes()).digest())
        for file in sorted(self.folder.glob(WEIGHTS)):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()
