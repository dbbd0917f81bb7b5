"""Search for the run that `--resume` means: the newest unfinished one of the same job."""

import re
from contextlib import suppress

from pydantic import ValidationError

from finetune_api.checkpoint import CHECKPOINTS, CheckpointManifest
from finetune_api.failures import CheckpointNotFound
from finetune_api.job import FineTuneJob
from finetune_api.manifest import MANIFEST_NAME
from finetune_trainer.output.lineage import spec_digest
from finetune_trainer.storage import Folder, Site, open_folder

_CHECKPOINT = re.compile(rf"([^/]+)/{CHECKPOINTS}/[^/]+/\d+/{re.escape(MANIFEST_NAME)}")
_OTHERS_HINT = "the spec must be the very same; run the job without --resume to start over"


def find_unfinished(job: FineTuneJob, site: Site, uid: str = "") -> str:
    """UID of the resumable run of `job` in its output: the one named `uid`, or the newest.

    Local UIDs begin with the time, so the newest is the last by name. Raises `CheckpointNotFound` where there is none.
    """
    uri = f"{job.spec.output.uri.rstrip('/')}/{job.metadata.name}"
    folder = open_folder(uri, site, job.spec.output.secret_ref)
    paths = [path for path, _ in folder.list() if not uid or path.startswith(f"{uid}/")]
    if uid and paths:
        return uid
    saved = _with_checkpoints(paths)
    matching = [run for run, manifests in saved.items() if _is_of(job, folder, manifests)]
    if matching:
        return max(matching)
    what = f"no run {uid}" if uid else "no unfinished run of this job with a checkpoint"
    others = f"; {len(saved)} of another spec" if saved else ""
    raise CheckpointNotFound(f"{what} in {folder.uri()}{others}", where="--resume", hint=_OTHERS_HINT)


def _with_checkpoints(paths: list[str]) -> dict[str, list[str]]:
    """Checkpoint manifests by run, for unfinished runs."""
    finished = {path.partition("/")[0] for path in paths if path.count("/") == 1 and path.endswith(f"/{MANIFEST_NAME}")}
    found: dict[str, list[str]] = {}
    for path in paths:
        match = _CHECKPOINT.fullmatch(path)
        if match and match[1] not in finished:
            found.setdefault(match[1], []).append(path)
    return found


def _is_of(job: FineTuneJob, folder: Folder, manifests: list[str]) -> bool:
    """Whether any manifest is of the same spec. They are verified when they are used."""
    digest = spec_digest(job.spec)
    for path in manifests:
        with suppress(ValidationError):
            if CheckpointManifest.model_validate_json(folder.get(path)).lineage.spec_digest == digest:
                return True
    return False
