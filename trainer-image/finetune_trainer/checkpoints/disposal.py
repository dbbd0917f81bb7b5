"""Deletes checkpoints: the manifest first, so that none ever looks whole that is not."""

from collections.abc import Callable

from finetune_api.checkpoint import CHECKPOINTS
from finetune_api.failures import JobFailure
from finetune_api.manifest import MANIFEST_NAME
from finetune_trainer.checkpoints.layout import Place, find_places
from finetune_trainer.output.claims import Claim
from finetune_trainer.storage import Folder


def dispose(folder: Folder, place: Place) -> None:
    """Delete one checkpoint of the output `folder`. Raises what the store raises."""
    folder.delete(place.manifest)
    folder.delete_all(place.folder)


def sweep(folder: Folder, claim: Claim) -> None:
    """Delete what attempts before `claim` left without ever committing it. Raises what the store raises.

    Those attempts are fenced: a manifest that is not there by now will not come.
    """
    for place, sizes in sorted(find_places(folder.list(CHECKPOINTS)).items()):
        if place.claim.number < claim.number and MANIFEST_NAME not in sizes:
            folder.delete_all(place.folder)


def discard_checkpoints(folder: Folder, warned: Callable[[str], None]) -> None:
    """Delete all checkpoints of a finished run: its result is committed, nothing goes on from them any more.

    What can't be deleted is told and stays; a result is not worth less for it.
    """
    try:
        for place in sorted(find_places(folder.list(CHECKPOINTS))):
            folder.delete(place.manifest)
        folder.delete_all(CHECKPOINTS)
    except JobFailure as failure:
        warned(f"checkpoints that nobody needs any more can't be deleted: {failure.problems[0].message}")
