"""Deletion of checkpoints: the manifest first, so that no incomplete checkpoint ever looks complete."""

from collections.abc import Callable

from finetune_api.checkpoint import CHECKPOINTS
from finetune_api.failures import JobFailure
from finetune_api.manifest import MANIFEST_NAME
from finetune_trainer.checkpoints.layout import Place, find_places
from finetune_trainer.output.claims import Claim
from finetune_trainer.storage import Folder


def dispose(folder: Folder, place: Place) -> None:
    """Delete one checkpoint of the output `folder`. Raises the failures of the store."""
    folder.delete(place.manifest)
    folder.delete_all(place.folder)


def sweep(folder: Folder, claim: Claim) -> None:
    """Delete uncommitted checkpoints of attempts before `claim`. Raises the failures of the store.

    Those attempts are fenced: a manifest that is not there by now will not come.
    """
    for place, sizes in sorted(find_places(folder.list(CHECKPOINTS)).items()):
        if place.claim.number < claim.number and MANIFEST_NAME not in sizes:
            folder.delete_all(place.folder)


def discard_checkpoints(folder: Folder, warned: Callable[[str], None]) -> None:
    """Delete all checkpoints of a finished run: its result is committed, nothing resumes from them.

    What can't be deleted is told and stays; a result is not worth less for it.
    """
    try:
        for place in sorted(find_places(folder.list(CHECKPOINTS))):
            folder.delete(place.manifest)
        folder.delete_all(CHECKPOINTS)
    except JobFailure as failure:
        warned(f"checkpoints that nobody needs any more can't be deleted: {failure.problems[0].message}")
