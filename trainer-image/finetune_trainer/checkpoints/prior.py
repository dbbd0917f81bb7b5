"""Checkpoints of an earlier run in an output, compared with the lineage of the current run."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from finetune_api.checkpoint import CheckpointManifest
from finetune_api.failures import CheckpointNotFound, JobFailure, OutputExists
from finetune_api.manifest import Lineage
from finetune_api.renamed import current_names
from finetune_api.report import Report
from finetune_api.spec import Spec
from finetune_api.stored import with_current_names
from finetune_trainer.checkpoints.layout import find_places
from finetune_trainer.storage import Folder

_REPORT = "report/report.json"
_DIGESTS = {"spec_digest": "another spec", "data_digest": "other rows", "model_digest": "another base model"}
_MOST = 6


def prior_checkpoints(folder: Folder) -> list[CheckpointManifest]:
    """Manifests of all checkpoints in an output, the newest last; unreadable ones are left out."""
    return sorted(_manifests(folder), key=lambda manifest: (manifest.step, manifest.attempt))


def _manifests(folder: Folder) -> Iterator[CheckpointManifest]:
    for place in find_places(folder.list()):
        with suppress(ValidationError, JobFailure):
            yield CheckpointManifest.model_validate_json(folder.get(place.manifest))


def check_resumable(folder: Folder, lineage: Lineage, spec: dict[str, Any], *, resume: bool) -> None:
    """Refuse to restart over checkpoints that a run of this lineage can't resume from; nothing is written.

    Raises `CheckpointNotFound` for a run that is to resume, else `OutputExists`; both say what differs.
    """
    found = prior_checkpoints(folder)
    if any(all(getattr(one.lineage, name) == getattr(lineage, name) for name in _DIGESTS) for one in found):
        return
    if not found and not resume:
        return
    if not found:
        raise CheckpointNotFound(
            f"no checkpoint in {folder.uri()}", where="--resume", hint="run the job without --resume to start over"
        )
    newest = found[-1]
    differ = [name for digest, name in _DIGESTS.items() if getattr(newest.lineage, digest) != getattr(lineage, digest)]
    fields = differing_fields(_spec_of(folder), spec) if "another spec" in differ else []
    listed = f" ({'; '.join(fields[:_MOST])}{' and more' if len(fields) > _MOST else ''})" if fields else ""
    message = f"the checkpoints in {folder.uri()}, the newest of step {newest.step}, were made from "
    message += " and ".join(differ) + listed
    if resume:
        hint = "resume with what they were made from, or run the job without --resume and --uid to start over"
        raise CheckpointNotFound(message, where="--resume", hint=hint)
    hint = "run it under another --uid, or delete that folder; it is kept as it is"
    raise OutputExists(message, where="--uid", hint=hint)


def _spec_of(folder: Folder) -> dict[str, Any]:
    """Spec in the report of the earlier run, as stopped runs leave one; empty without a report."""
    if not folder.exists(_REPORT):
        return {}
    with suppress(ValidationError, JobFailure):
        report = Report.model_validate_json(with_current_names(Report, folder.get(_REPORT)))
        named: dict[str, Any] = current_names(Spec, report.spec)
        return named
    return {}


def differing_fields(before: dict[str, Any], now: dict[str, Any], path: str = "spec") -> list[str]:
    """Fields that make two specs different runs, with both values; none where `before` is unknown."""
    if not before:
        return []
    found = list[str]()
    for name in sorted({*before, *now} - {"runPolicy"}):
        there, here = before.get(name), now.get(name)
        if isinstance(there, dict) and isinstance(here, dict) and there:
            found += differing_fields(there, here, f"{path}.{name}")
        elif there != here:
            found.append(f"{path}.{name}: {_shown(there)} there, {_shown(here)} now")
    return found


def _shown(value: object) -> str:
    text = "unset" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
