"""A whole job, from top to bottom: load, check, prepare, train, evaluate, export, report."""

import tempfile
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from finetune_api.failures import InternalError, Interrupted, JobFailure, OutOfMemory
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Manifest
from finetune_api.outcome import Artifacts
from finetune_api.report import Report
from finetune_trainer.data import prepare
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import build_lineage
from finetune_trainer.output.publish import OutputFolder, list_files
from finetune_trainer.stages import check_metric, evaluate, export, prepare_model, publish_report, score_baseline, train
from finetune_trainer.tasks.sequence_classification import SequenceClassification


@dataclass(frozen=True)
class RunResult:
    """How a run ended and where its output is."""

    report: Report
    artifacts: Artifacts
    failure: JobFailure | None = None


def run_job(job: FineTuneJob, base: Path, uid: str, observer: RunObserver) -> RunResult:
    """Run the job and publish its output to `<output.uri>/<name>/<uid>/`.

    A run that fails publishes its report alone: what happened, as far as it came. Nothing is raised but what
    makes even that impossible; see `RunResult.failure`.
    """
    notes = Notes(job, uid)
    output = OutputFolder(job.spec.output.uri, base, job.metadata.name, uid)
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        try:
            output.claim()
            _run(base, Path(scratch), output, notes, observer)
        except JobFailure as failure:
            return _failed(failure, output, notes, observer)
        except KeyboardInterrupt:
            return _failed(Interrupted("stopped on request before the run was finished"), output, notes, observer)
        except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
            return _failed(_classified(error), output, notes, observer)
    report = notes.report()
    observer.finished(report, output.uri())
    return RunResult(report, notes.artifacts)


def _run(base: Path, scratch: Path, output: OutputFolder, notes: Notes, observer: RunObserver) -> None:
    job = notes.job
    spec = job.spec
    staged = scratch / "output"

    with notes.timed("data", observer, "Validating"):
        data = prepare(spec.data, base=base, progress=observer.said)
        notes.data = data.report
        task = SequenceClassification(spec, data)
        check_metric(task)

    with notes.timed("model", observer, "Starting"):
        ready = prepare_model(task, base, notes, observer)

    with notes.timed("baseline", observer, "Evaluating"):
        baseline = score_baseline(task, ready, observer) if spec.evaluation.baseline else None

    with notes.timed("training", observer, "Training"):
        train(task, ready, scratch, notes, observer)

    with notes.timed("evaluation", observer, "Evaluating"):
        evaluate(task, ready, baseline, notes, observer)

    with notes.timed("export", observer, "Exporting"):
        lineage = build_lineage(spec, ready.files, data.digest)
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
        with observer.working("publishing", sum(entry.size for entry in manifest.files)) as advance:
            digest = output.publish(staged, manifest, advance)
    notes.artifacts = Artifacts(
        model=output.uri("model"), report=output.uri("report/index.html"), digest=f"sha256:{digest}"
    )


def _failed(failure: JobFailure, output: OutputFolder, notes: Notes, observer: RunObserver) -> RunResult:
    notes.failure = failure
    report = notes.report()
    artifacts = Artifacts()
    if output.claimed:
        try:
            publish_report(report, output)
            artifacts = Artifacts(report=output.uri("report/index.html"))
        except JobFailure as second:
            observer.warned(f"the report of the failure could not be written: {second}")
    observer.finished(report, output.uri())
    return RunResult(report, artifacts, failure)


def _classified(error: Exception) -> JobFailure:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error):
        hint = "lower spec.training.deviceBatchSize or spec.data.maxLength, set activationCheckpointing, or use LoRA"
        return OutOfMemory(f"memory ran out: {first_line(error)}", hint=hint)
    trace = "".join(traceback.format_exception(error)[-3:]).strip()
    failure = InternalError(f"{type(error).__name__}: {first_line(error)}", hint=_DEFECT_HINT)
    failure.__cause__ = error
    failure.add_note(trace)
    return failure


def first_line(error: Exception) -> str:
    """First line of an error's message, bounded."""
    return str(error).strip().partition("\n")[0][:500] or "no message"


_DEFECT_HINT = "this is a defect; run with --debug for the whole trace, and please report it"
