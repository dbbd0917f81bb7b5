"""A whole job, from top to bottom: load, check, prepare, train, evaluate, export, report."""

import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from finetune_api.failures import CheckpointNotFound
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Lineage
from finetune_api.metrics import metric_named
from finetune_trainer.checkpoints.disposal import discard_checkpoints
from finetune_trainer.checkpoints.prior import check_resumable, prior_checkpoints
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.models.sources import Source, check_base
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.finished import FinishedRun
from finetune_trainer.output.lineage import build_lineage, spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run_result import RunResult
from finetune_trainer.signals import finishing_steps
from finetune_trainer.stages.checking import check_rows_of, merged_spec
from finetune_trainer.stages.exporting import export, predict, round_to_export
from finetune_trainer.stages.measuring import evaluate, score_baseline
from finetune_trainer.stages.merging import Merging
from finetune_trainer.stages.preparing import PreparedModel, prepare_model
from finetune_trainer.stages.publishing import publish, publish_failure
from finetune_trainer.stages.training import train
from finetune_trainer.stopping import RUN_AGAIN, stop_of
from finetune_trainer.storage import Site, redacted
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.checkpointing import CachedBaseline, CheckpointCallback
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.unexpected import as_failure


class ResumeMode(StrEnum):
    """What becomes of checkpoints in the output that a run can't go on from."""

    REPLACED = "Replaced"
    """They are passed over with a warning: a pod's next attempt begins anew rather than not at all."""
    KEPT = "Kept"
    """The run is refused before it writes anything."""
    RESUMED = "Resumed"
    """The same, and there has to be one to go on from."""


def _nobody_asks() -> str:
    return ""


def run_job(
    job: FineTuneJob,
    site: Site,
    uid: str,
    observer: RunObserver,
    *,
    requested: Callable[[], str] = _nobody_asks,
    go_on: str = RUN_AGAIN,
    prior: ResumeMode = ResumeMode.REPLACED,
) -> RunResult:
    """Run the job and publish its output to `<output.uri>/<name>/<uid>/`.

    Goes on from the newest checkpoint that an earlier attempt with the same `uid` has saved there. `requested` gives a
    text that changes whenever someone asks for a checkpoint; `go_on` tells who stops the run how to go on; `prior` says
    what becomes of checkpoints of another spec, other rows or another base model that are there.

    A run that fails publishes its report alone: what happened, as far as it came. What an earlier attempt with the
    same `uid` and spec has finished already is the result. Failures are returned, see `RunResult.failure`; only an
    output address that can't even be opened raises one.
    """
    notes = Notes(job, uid)
    output = OutputFolder(job.spec.output, site, job.metadata.name, uid)
    try:
        waits = prior is not ResumeMode.REPLACED and (
            prior is ResumeMode.RESUMED or bool(prior_checkpoints(output.folder))
        )
        earlier = _earlier_result(job, output, observer, claims=not waits)
        notes.attempt = output.attempt
        if earlier is not None:
            return RunResult(earlier.report, earlier.artifacts)
        with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
            _run(_Run(site, Path(scratch), output, requested, notes, observer, prior))
    except KeyboardInterrupt:
        if output.published is None:
            notes.failure = stop_of(notes.step, notes.checkpoint, go_on)
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        notes.failure = redacted(as_failure(error), site)
        traceback.clear_frames(error.__traceback__)  # their tensors may be what the memory is full of
    if output.published is not None and notes.failure is None:
        notes.artifacts, notes.checkpoint = output.published, None
        with suppress(KeyboardInterrupt), finishing_steps():  # whoever asks to stop now is late, or asks twice
            discard_checkpoints(output.folder, observer.warned)
    report = notes.report()
    if notes.failure is not None:
        notes.artifacts = publish_failure(report, output, observer)
    observer.finished(report, output.uri())
    return RunResult(report, notes.artifacts, notes.failure, output.attempt, notes.checkpoint)


def _earlier_result(
    job: FineTuneJob, output: OutputFolder, observer: RunObserver, *, claims: bool
) -> FinishedRun | None:
    """What an earlier attempt finished; else the output is claimed for this one, if it `claims` it already."""
    digest = spec_digest(job.spec)
    earlier = output.finished(digest)
    if earlier is None and claims:
        output.claim(observer.warned)
        observer.claimed(output.attempt)
        earlier = output.finished(digest)  # the one before may have come to its end just now
    if earlier is not None:
        observer.said("an earlier attempt has finished this job; its result stands")
        discard_checkpoints(output.folder, observer.warned)  # where that attempt did not get to it
        observer.finished(earlier.report, output.uri())
    return earlier


@dataclass(frozen=True)
class _Run:
    """What all parts of a run have at hand."""

    site: Site
    scratch: Path
    output: OutputFolder
    requested: Callable[[], str]
    notes: Notes
    observer: RunObserver
    prior: ResumeMode


def _run(run: _Run) -> None:
    """From the spec to a model that can be trained, and on from there or from where an earlier attempt got to."""
    notes, observer = run.notes, run.observer
    observer.phase("Validating")
    merged = merged_spec(notes, run.site, weights=True)
    with notes.timed("config"):
        base = merged.open_base(run.site)
    rows = check_rows_of(merged.spec, notes, run.site, observer)
    task, sources = rows.task, merged.sources

    observer.phase("Starting")
    with notes.timed("model"):
        ready = prepare_model(task, base, run.site, notes, observer)
    task = ready.task
    with notes.timed("lineage"):
        results = [source.merged_result for source in sources]
        lineage = notes.lineage = build_lineage(notes.job.spec, ready.files, task.data.digest, results)
        check_base(sources, ready.files)
    if not run.output.attempt:
        _claim_to_resume(run, lineage)
    if sources:
        _merge(run, task, ready, sources, to_predict=rows.to_predict)
        return

    keeping = CheckpointCallback(_open_store(run), BestWeights(run.scratch), run.requested, observer)
    try:
        with keeping.settled():
            with notes.timed("resume"):
                keeping.find_checkpoint(lineage)
                _check_found(run, keeping)
            _carry_out(run, task, ready, keeping, lineage, to_predict=rows.to_predict)
    finally:
        notes.checkpoint = keeping.newest


def _claim_to_resume(run: _Run, lineage: Lineage) -> None:
    """Claim an output with checkpoints, now that it is known whether the run can go on from one of them."""
    notes, output = run.notes, run.output
    spec = notes.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    check_resumable(output.folder, lineage, spec, resume=run.prior is ResumeMode.RESUMED)
    output.claim(run.observer.warned)
    run.observer.claimed(output.attempt)
    notes.attempt = output.attempt


def _check_found(run: _Run, keeping: CheckpointCallback) -> None:
    """Raise `CheckpointNotFound` where a run is to resume and no checkpoint can be trusted."""
    if run.prior is ResumeMode.RESUMED and keeping.found is None:
        message = f"none of the checkpoints in {run.output.uri()} can be used; the warnings say why"
        hint = "run the job without --resume and --uid to begin anew"
        raise CheckpointNotFound(message, where="--resume", hint=hint)


def _carry_out(
    run: _Run, task: Task, ready: PreparedModel, keeping: CheckpointCallback, lineage: Lineage, *, to_predict: int
) -> None:
    """From a model that can be trained to its published result."""
    notes, observer = run.notes, run.observer
    if task.spec.evaluation.baseline and keeping.known.baseline is None:
        observer.phase("Evaluating")
        with notes.timed("baseline"):
            keeping.known = CachedBaseline(score_baseline(task, ready, observer))

    observer.phase("Training")
    with notes.timed("training"):
        train(task, ready, keeping, notes, observer)

    staged = _conclude(run, task, ready, keeping.known.baseline, to_predict=to_predict)
    with notes.timed("publish"):
        keeping.finish()
        publish(staged, lineage, run.output, notes, observer)


def _merge(run: _Run, task: Task, ready: PreparedModel, sources: list[Source], *, to_predict: int) -> None:
    """From the base to the published model of several results; nothing is trained, and nothing kept on the way."""
    notes, observer, merge, lineage = run.notes, run.observer, task.spec.method.merge, run.notes.lineage
    if merge is None or lineage is None:
        raise ValueError(task.spec.method)
    observer.phase("Evaluating")
    with notes.timed("baseline"):
        baseline = score_baseline(task, ready, observer) if task.spec.evaluation.baseline else None
    with notes.timed("merging"):
        ready = Merging(task, ready, sources, merge, run.scratch, observer).run(notes)
    staged = _conclude(run, task, ready, baseline, to_predict=to_predict, merged=sources)
    with notes.timed("publish"):
        publish(staged, lineage, run.output, notes, observer)


def _conclude(
    run: _Run,
    task: Task,
    ready: PreparedModel,
    baseline: Outputs | None,
    *,
    to_predict: int,
    merged: Sequence[Source] = (),
) -> Path:
    """Measure the model and write all that is to be published; returns the folder."""
    notes, observer = run.notes, run.observer
    observer.phase("Evaluating")
    with notes.timed("evaluation"):
        round_to_export(task, ready, notes)
        evaluate(task, ready, baseline, notes, observer)

    observer.phase("Exporting")
    staged = run.scratch / "output"
    export(task, ready, staged, notes, merged)
    if to_predict:
        predict(task, ready, staged, run.site, rows=to_predict, observer=observer)
    return staged


def _open_store(run: _Run) -> CheckpointStore:
    spec = run.notes.job.spec
    retention = Retention(spec.checkpoints, metric_named(spec.task, spec.evaluation.metric))
    return CheckpointStore(run.output, run.scratch / "kept", retention, run.observer.warned)
