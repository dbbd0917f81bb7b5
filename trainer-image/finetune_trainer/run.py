"""A whole job, from top to bottom: load, check, prepare, train, evaluate, export, report."""

import tempfile
import traceback
from dataclasses import dataclass
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
from finetune_trainer.output.lineage import build_lineage
from finetune_trainer.output.publish import OutputFolder, list_files
from finetune_trainer.stages import evaluate, export, prepare_model, publish_report, score_baseline, train
from finetune_trainer.tasks.sequence_classification import SequenceClassification
from finetune_trainer.unexpected import as_failure


@dataclass(frozen=True)
class RunResult:
    """How a run ended and where its output is."""

    report: Report
    artifacts: Artifacts
    failure: JobFailure | None = None


def run_job(job: FineTuneJob, base: Path, uid: str, observer: RunObserver) -> RunResult:
    """Run the job and publish its output to `<output.uri>/<name>/<uid>/`.

    A run that fails publishes its report alone: what happened, as far as it came. Failures are returned, see
    `RunResult.failure`; only an output address that can't even be opened raises one.
    """
    notes = Notes(job, uid)
    output = OutputFolder(job.spec.output.uri, base, job.metadata.name, uid)
    try:
        output.claim()
        with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
            _run(base, Path(scratch), output, notes, observer)
    except KeyboardInterrupt:
        if not output.committed:
            notes.failure = Interrupted("stopped on request before the run was finished", hint=_STOPPED_HINT)
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        notes.failure = as_failure(error)
        traceback.clear_frames(error.__traceback__)  # their tensors may be what the memory is full of
    report = notes.report()
    if notes.failure is not None:
        notes.artifacts = _publish_failure(report, output, observer)
    observer.finished(report, output.uri())
    return RunResult(report, notes.artifacts, notes.failure)


def _run(base: Path, scratch: Path, output: OutputFolder, notes: Notes, observer: RunObserver) -> None:
    job = notes.job
    spec = job.spec
    staged = scratch / "output"

    observer.phase("Validating")
    with notes.timed("data"):
        data = prepare(spec.data, base=base, progress=observer.said)
        notes.data = data.report
        check_agreement(spec, data.report)
        task = SequenceClassification(spec, data)

    observer.phase("Starting")
    with notes.timed("model"):
        ready = prepare_model(task, base, notes, observer)

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
    with notes.timed("export"):
        lineage = notes.lineage = build_lineage(spec, ready.files, data.digest)
        export(task, ready, staged, lineage, notes)
        manifest = Manifest(
            job=job.metadata.name,
            uid=notes.uid,
            outcome=notes.outcome,
            created_at=datetime.now(UTC),
            files=list_files(staged),
            lineage=lineage,
            metrics=notes.evaluation.metrics,
        )
        model, report = output.uri("model"), output.uri("report/index.html")
        with observer.working("publishing", sum(entry.size for entry in manifest.files)) as advance:
            digest = output.publish(staged, manifest, advance)
            notes.artifacts = Artifacts(model=model, report=report, digest=f"sha256:{digest}")


def _publish_failure(report: Report, output: OutputFolder, observer: RunObserver) -> Artifacts:
    """Leave the report of a failed run, where the output is this run's and can be written."""
    if not output.claimed:
        return Artifacts()
    try:
        output.withdraw()
        publish_report(report, output)
    except JobFailure as second:
        observer.warned(f"the report of the failure could not be written: {second}")
        return Artifacts()
    return Artifacts(report=output.uri("report/index.html"))


_STOPPED_HINT = "nothing was kept; run the job again"
