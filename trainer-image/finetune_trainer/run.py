"""A whole job, from top to bottom: load, check, prepare, train, evaluate, export, report."""

import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.failures import Interrupted, JobFailure
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Manifest
from finetune_api.outcome import Artifacts
from finetune_api.report import Report
from finetune_trainer.agreement import check_agreement
from finetune_trainer.data import prepare
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.finished import FinishedRun
from finetune_trainer.output.lineage import build_lineage, spec_digest
from finetune_trainer.output.publish import OutputFolder, list_files
from finetune_trainer.run_result import RunResult
from finetune_trainer.stages import evaluate, export, prepare_model, publish_report, score_baseline, train
from finetune_trainer.storage import Site, redacted
from finetune_trainer.tasks.sequence_classification import SequenceClassification
from finetune_trainer.unexpected import as_failure


def run_job(job: FineTuneJob, site: Site, uid: str, observer: RunObserver) -> RunResult:
    """Run the job and publish its output to `<output.uri>/<name>/<uid>/`.

    A run that fails publishes its report alone: what happened, as far as it came. What an earlier attempt with the
    same `uid` and spec has finished already is the result. Failures are returned, see `RunResult.failure`; only an
    output address that can't even be opened raises one.
    """
    notes = Notes(job, uid)
    output = OutputFolder(job.spec.output, site, job.metadata.name, uid)
    try:
        earlier = _earlier_result(job, output, observer)
        if earlier is not None:
            return RunResult(earlier.report, earlier.artifacts)
        with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
            _run(site, Path(scratch), output, notes, observer)
    except KeyboardInterrupt:
        if not output.committed:
            notes.failure = Interrupted("stopped on request before the run was finished", hint=_STOPPED_HINT)
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        notes.failure = redacted(as_failure(error), site)
        traceback.clear_frames(error.__traceback__)  # their tensors may be what the memory is full of
    report = notes.report()
    if notes.failure is not None:
        notes.artifacts = _publish_failure(report, output, observer)
    observer.finished(report, output.uri())
    return RunResult(report, notes.artifacts, notes.failure, output.attempt)


def _earlier_result(job: FineTuneJob, output: OutputFolder, observer: RunObserver) -> FinishedRun | None:
    """What an earlier attempt finished; else the output is claimed for this one."""
    digest = spec_digest(job.spec)
    earlier = output.finished(digest)
    if earlier is None:
        output.claim()
        observer.claimed(output.attempt)
        earlier = output.finished(digest)  # the one before may have come to its end just now
    if earlier is not None:
        observer.said("an earlier attempt has finished this job; its result stands")
        observer.finished(earlier.report, output.uri())
    return earlier


def _run(site: Site, scratch: Path, output: OutputFolder, notes: Notes, observer: RunObserver) -> None:
    job = notes.job
    spec = job.spec
    staged = scratch / "output"

    observer.phase("Validating")
    with notes.timed("data"):
        data = prepare(spec.data, site=site, progress=observer.said)
        notes.data = data.report
        check_agreement(spec, data.report)
        task = SequenceClassification(spec, data)

    observer.phase("Starting")
    with notes.timed("model"):
        ready = prepare_model(task, site, notes, observer)

    observer.phase("Evaluating")
    with notes.timed("baseline"):
        baseline = score_baseline(task, ready, observer) if spec.evaluation.baseline else None

    observer.phase("Training")
    with notes.timed("training"):
        train(task, ready, scratch, notes, observer)

    observer.phase("Evaluating")
    with notes.timed("evaluation"):
        evaluate(task, ready, baseline, notes, observer)

    observer.phase("Exporting")
    with notes.timed("lineage"):
        lineage = notes.lineage = build_lineage(spec, ready.files, data.digest)
    export(task, ready, staged, lineage, notes)
    with notes.timed("publish"):
        manifest = Manifest(
            job=job.metadata.name,
            uid=notes.uid,
            outcome=notes.outcome,
            created_at=datetime.now(UTC),
            files=list_files(staged),
            lineage=lineage,
            metrics=notes.evaluation.metrics,
        )
        with observer.working("publishing", sum(entry.size for entry in manifest.files)) as advance:
            notes.artifacts = output.publish(staged, manifest, advance)


def _publish_failure(report: Report, output: OutputFolder, observer: RunObserver) -> Artifacts:
    """Leave the report of a failed run, where the output is this run's and can be written."""
    if not output.attempt:
        return Artifacts()
    try:
        output.withdraw()
        output.check_owner()
        publish_report(report, output)
    except JobFailure as second:
        observer.warned(f"the report of the failure could not be written: {second}")
        return Artifacts()
    return Artifacts(report=output.uri("report/index.html"))


_STOPPED_HINT = "nothing was kept; run the job again"
