"""The run that `checkpoints.resumeFrom` names: whether its training may be continued. Nothing is written."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.failures import CheckpointNotFound, JobFailure, OutputNotWritable, Problem, SpecInvalid
from finetune_api.first_version import spec_json
from finetune_api.manifest import MANIFEST_NAME, Lineage
from finetune_api.renamed import current_names
from finetune_api.resume import ResumeFrom
from finetune_api.spec import Spec
from finetune_trainer.checkpoints.encoding import STATE
from finetune_trainer.checkpoints.layout import Place, find_places
from finetune_trainer.checkpoints.spec_difference import differences
from finetune_trainer.storage import Folder, Site, check_present, open_address, parse_address

SPEC = "spec"
"""Key of `Snapshot.values` that holds the spec of the run that saved it."""
_FIELD = "spec.checkpoints.resumeFrom.uri"
_FOLDER_HINT = "name the output folder of a run that failed or was stopped: <output.uri>/<job name>/<job uid>"
_DIGESTS = {
    "data_digest": ("spec.data.train", "the rows", "give it the same files and settings of data"),
    "model_digest": ("spec.model.uri", "the weights of the base model", "name the model that the run started from"),
}


@dataclass(frozen=True)
class OtherRun:
    """A run in some output folder, and the spec of the run that is to continue it."""

    folder: Folder
    uid: str
    """UID of its job; empty where the folder alone says which run it is."""
    spec: Spec

    def check(self) -> None:
        """Check that it has checkpoints of the same training, before anything is loaded. Hashes are verified later.

        Raises `CheckpointNotFound` where there are none, `SpecInvalid` for each field that makes it another training.
        """
        if self.folder.exists(MANIFEST_NAME):
            message = f"the run in {self.folder.uri()} is finished, and its checkpoints ended with it"
            raise CheckpointNotFound(message, where=_FIELD, hint="start from its result: name it in spec.model.uri")
        places = self._places()
        if not places:
            message = f"there is no checkpoint in {self.folder.uri()}"
            raise CheckpointNotFound(message, where=_FIELD, hint=_FOLDER_HINT)
        self.check_spec(next(filter(None, map(self._spec_at, places)), None))

    def check_spec(self, there: object) -> None:
        """Compare the spec in its checkpoint. Raises `SpecInvalid`, or `CheckpointNotFound` if it holds none."""
        if not isinstance(there, Mapping):
            message = f"the checkpoints in {self.folder.uri()} do not hold the spec that they were made from"
            raise CheckpointNotFound(message, where=_FIELD, hint="run the job without resumeFrom to start over")
        wrong = [
            Problem(f"{now}, and the run to resume has {before}", field, "use the same, or start without resumeFrom")
            for field, before, now in differences(
                *(current_names(Spec, spec) for spec in (there, spec_json(self.spec)))
            )
        ]
        if wrong:
            raise SpecInvalid(*wrong)

    def check_data(self, digest: str) -> None:
        """Compare the digest of the rows with that of its newest checkpoint. Raises `SpecInvalid`."""
        newest = next(self._manifests(), None)
        if newest is not None:
            _check_digest(newest.lineage, "data_digest", digest)

    def check_lineage(self, lineage: Lineage) -> None:
        """Compare the digests of rows and base model. Raises `SpecInvalid`."""
        newest = next(self._manifests(), None)
        if newest is not None:
            for name in _DIGESTS:
                _check_digest(newest.lineage, name, getattr(lineage, name))

    def unusable(self) -> CheckpointNotFound:
        """The failure of a run without a checkpoint that training can resume from."""
        message = f"none of the checkpoints in {self.folder.uri()} can be resumed from; the warnings say why"
        return CheckpointNotFound(message, where=_FIELD, hint="run the job without resumeFrom to start over")

    def _places(self) -> list[Place]:
        """Checkpoints with a manifest, the newest first."""
        found = find_places(self.folder.list())
        return sorted((place for place, sizes in found.items() if MANIFEST_NAME in sizes), reverse=True)

    def _manifests(self) -> Iterator[CheckpointManifest]:
        for place in self._places():
            with suppress(ValueError, OutputNotWritable):
                yield CheckpointManifest.model_validate_json(self.folder.get(place.manifest), extra="ignore")

    def _spec_at(self, place: Place) -> Any:
        with suppress(ValueError, OutputNotWritable):
            values = json.loads(self.folder.get(place.file(STATE)))
            return values.get(SPEC) if isinstance(values, dict) else None
        return None


def find_other_run(spec: Spec, site: Site, *, is_needed: bool = True) -> OtherRun | None:
    """The run that the spec names, checked; None where it names none. One that is not needed by now may be gone.

    Raises what opening and `OtherRun.check` raise.
    """
    named = spec.checkpoints.resume_from
    if named is None:
        return None
    try:
        other = _opened(named, spec, site, is_needed=is_needed)
    except JobFailure as failure:
        raise type(failure)(*(Problem(p.message, p.where or _FIELD, p.hint) for p in failure.problems)) from failure
    if is_needed:
        other.check()
    return other


def _opened(named: ResumeFrom, spec: Spec, site: Site, *, is_needed: bool) -> OtherRun:
    parent = site.parent(named.uri)
    address = parse_address(parent.output if parent is not None else named.uri, site.base)
    if is_needed:
        check_present(address, site, CheckpointNotFound, _FIELD)
    secret = named.secret_ref or (parent.secret_ref if parent is not None else None)
    folder = open_address(address, site, secret, missing=OutputNotWritable)
    return OtherRun(folder, parent.uid if parent is not None else "", spec)


def _check_digest(there: Lineage, name: str, digest: str) -> None:
    field, what, hint = _DIGESTS[name]
    before = getattr(there, name)
    if before != digest:
        message = f"{what} are others ({digest[:12]}) than in the run to resume ({before[:12]})"
        raise SpecInvalid(message, where=field, hint=f"{hint}, or start without resumeFrom")
