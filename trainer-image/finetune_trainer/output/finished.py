"""Finished output of an earlier attempt, so that no work is repeated."""

import hashlib
from dataclasses import dataclass

from pydantic import ValidationError

from finetune_api.failures import OutputExists
from finetune_api.manifest import MANIFEST_NAME, Manifest
from finetune_api.outcome import Artifacts
from finetune_api.report import Report
from finetune_api.stored import with_current_names
from finetune_trainer.storage import Folder

REPORT_DATA = "report/report.json"
REPORT_PAGE = "report/index.html"
PREDICTIONS = "predictions.jsonl"
_WHERE = "spec.output.uri"


@dataclass(frozen=True)
class FinishedRun:
    """Result of a finished attempt."""

    report: Report
    artifacts: Artifacts


def find_finished(folder: Folder, uid: str, spec_digest: str) -> FinishedRun | None:
    """The finished run of the same job and spec in `folder`; None where no run has finished.

    Raises `OutputExists` where another job or spec finished there, or files are no longer what they were.
    """
    if not folder.exists(MANIFEST_NAME):
        return None
    content = folder.get(MANIFEST_NAME)
    try:
        manifest = Manifest.model_validate_json(content, extra="ignore")
    except ValidationError:
        raise _exists(folder, "a finished run whose manifest can't be read") from None
    if (manifest.uid, manifest.lineage.spec_digest) != (uid, spec_digest):
        raise _exists(folder, "a finished run of another job or spec")
    _check_sizes(folder, manifest)
    return FinishedRun(_report(folder, manifest), artifacts_of(folder, manifest, hashlib.sha256(content).hexdigest()))


def artifacts_of(folder: Folder, manifest: Manifest, digest: str) -> Artifacts:
    """Locations of the results in a folder; `digest` is that of its manifest."""
    has_predictions = any(entry.path == PREDICTIONS for entry in manifest.files)
    return Artifacts(
        model=folder.uri("model"),
        report=folder.uri(REPORT_PAGE),
        predictions=folder.uri(PREDICTIONS) if has_predictions else "",
        digest=f"sha256:{digest}",
    )


def _check_sizes(folder: Folder, manifest: Manifest) -> None:
    sizes = dict(folder.list())
    wrong = [entry.path for entry in manifest.files if sizes.get(entry.path) != entry.size]
    if wrong:
        raise _exists(folder, f"a finished run, of which {', '.join(wrong[:3])} is missing or cut")


def _report(folder: Folder, manifest: Manifest) -> Report:
    expected = {entry.path: entry.sha256 for entry in manifest.files}
    content = folder.get(REPORT_DATA)
    try:
        if hashlib.sha256(content).hexdigest() == expected.get(REPORT_DATA):
            return Report.model_validate_json(with_current_names(Report, content), extra="ignore")
    except ValidationError:  # of another version
        pass
    raise _exists(folder, f"a finished run whose {REPORT_DATA} was changed")


def _exists(folder: Folder, what: str) -> OutputExists:
    hint = "give the job another name or spec.output.uri, or delete what is there"
    return OutputExists(f"{folder.uri()} already holds {what}", where=_WHERE, hint=hint)
