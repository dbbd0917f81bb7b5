"""Paths of checkpoints, `checkpoints/<claim>/<step>/`, and their discovery in a listing of the output. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_api.checkpoint import CHECKPOINTS
from finetune_api.manifest import MANIFEST_NAME
from finetune_trainer.output.claims import Claim, parse_claim

_FILE = re.compile(rf"{CHECKPOINTS}/([^/]+)/(0|[1-9][0-9]{{0,11}})/(.+)")


@dataclass(frozen=True, order=True)
class Place:
    """Folder of a checkpoint; ordered by step, then by attempt."""

    step: int
    """Optimiser steps that are done."""
    claim: Claim
    """The attempt that writes it."""

    @property
    def folder(self) -> str:
        """Path in the output."""
        return f"{CHECKPOINTS}/{self.claim}/{self.step}"

    @property
    def manifest(self) -> str:
        """Path of its manifest in the output."""
        return self.file(MANIFEST_NAME)

    def file(self, name: str) -> str:
        """Path of one of its files in the output."""
        return f"{self.folder}/{name}"


def find_places(listing: Iterable[tuple[str, int]]) -> dict[Place, dict[str, int]]:
    """All checkpoints in a listing of the output, each with the sizes of its files in bytes by name.

    Some may be half written; what is no file of a checkpoint is left out.
    """
    found: dict[Place, dict[str, int]] = {}
    for path, size in listing:
        parts = _FILE.fullmatch(path)
        claim = parse_claim(parts[1]) if parts else None
        if parts and claim is not None:
            found.setdefault(Place(int(parts[2]), claim), {})[parts[3]] = size
    return found
