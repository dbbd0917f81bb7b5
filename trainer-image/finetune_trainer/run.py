"""A whole job, from top to bottom: load, check, prepare, train, evaluate, export, report."""

import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from finetune_api.failures import CheckpointNotFound
from finetune_api.first_version import spec_json
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Lineage
from finetune_api.metrics import metric_named
from finetune_api.outcome import Artifacts
from finetune_api.report import MergeReport
from finetune_api.status import CheckpointInfo
from finetune_trainer.checkpoints.disposal import discard_checkpoints
from finetune_trainer.checkpoints.other_run import OtherRun, find_other_run
from finetune_trainer.checkpoints.prior import check_resumable, prior_checkpoints
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.models.sources import Source, check_base
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.finished import FinishedRun
from finetune_trainer.output.lineage import build_lineage, spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run_record import RunRecord, RunResult, Timings
from finetune_trainer.signals import StopToken
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import MergedSpec, check_rows_of, merged_spec, read_rows
from finetune_trainer.stages.exporting import export_model, predict, round_to_export, write_report
from finetune_trainer.stages.measuring import evaluate, score_baseline
from finetune_trainer.stages.merging import Merging
from finetune_trainer.stages.preparing import (
    PreparedModel,
    describe_computation,
    prepare_model,
    take_hardware,
    tokenise_rows,
    with_evaluation_rows,
    with_reference,
)
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
    """Policy for checkpoints in the output that a run can't resume from."""

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
    resume_hint: str = RUN_AGAIN,
    prior: ResumeMode = ResumeMode.REPLACED,
    stop: StopToken | None = None,
) -> RunResult:
    """Run the job and publish its output to `<output.uri>/<name>/<uid>/`.

    Goes on from the newest checkpoint that an earlier attempt with the same `uid` has saved there. `requested` gives a
    text that changes whenever someone asks for a checkpoint; `resume_hint` tells who stops the run how to resume it;
    `prior` says what becomes of checkpoints of another spec, other rows or another base model that are there; `stop` is
    looked at during and between steps.

    A run that fails publishes its report alone: what happened, as far as it came. What an earlier attempt with the
    same `uid` and spec has finished already is the result. Failures are returned, see `RunResult.failure`; only an
    output address that can't even be opened raises one.
    """
    output = OutputFolder(job.spec.output, site, job.metadata.name, uid)
    run = _Run(site, output, requested, observer, prior, stop or StopToken(), RunRecord(job, uid))
    artifacts = Artifacts()
    try:
        waits = prior is not ResumeMode.REPLACED and (
            prior is ResumeMode.RESUMED or bool(prior_checkpoints(output.folder))
        )
        earlier = _earlier_result(job, output, observer, claims=not waits)
        run.add(attempt=output.attempt)
        if earlier is not None:
            return RunResult(earlier.report, earlier.artifacts)
        with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
            _run(run, Path(scratch))
    except KeyboardInterrupt:
        if output.published is None:
            run.add(failure=stop_of(run.step, run.checkpoint, resume_hint))
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        run.add(failure=redacted(as_failure(error), site))
        traceback.clear_frames(error.__traceback__)  # their tensors may be what the memory is full of
    failure = run.record.failure
    if output.published is not None and failure is None:
        artifacts, run.checkpoint = output.published, None
        with suppress(KeyboardInterrupt), run.stop.finishing_steps():  # whoever asks now is late, or asks twice
            discard_checkpoints(output.folder, observer.warned)
    report = run.record.report(run.timings)
    if failure is not None:
        artifacts = publish_failure(report, output, observer, run.stop)
    observer.finished(report, output.uri())
    return RunResult(report, artifacts, failure, output.attempt, run.checkpoint)


def _earlier_result(
    job: FineTuneJob, output: OutputFolder, observer: RunObserver, *, claims: bool
) -> FinishedRun | None:
    """The finished run of an earlier attempt; else None, with the output claimed where it `claims` already."""
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


@dataclass
class _Run:
    """One run: its environment, and the record of the values that its stages returned."""

    site: Site
    output: OutputFolder
    requested: Callable[[], str]
    observer: RunObserver
    prior: ResumeMode
    stop: StopToken
    record: RunRecord
    timings: Timings = field(default_factory=Timings)
    step: int = 0
    """Optimizer steps that are done."""
    checkpoint: CheckpointInfo | None = None
    """The newest one that is committed."""

    def add(self, **found: Any) -> None:
        """Add returned values of a stage to the record."""
        self.record = replace(self.record, **found)


def _run(run: _Run, scratch: Path) -> None:
    """Prepare the spec for training, and train from the start or from a checkpoint."""
    timed, observer = run.timings.timed, run.observer
    observer.phase("Validating")
    with timed("sources"):
        other = _other_run(run)
        merged = merged_spec(run.record.job.spec, run.site, weights=True)
    with timed("config"):
        base = merged.open_base(run.site)
    with timed("data"):
        data = read_rows(merged.spec, run.site, observer)
        run.add(data=data.report)
        rows = check_rows_of(merged.spec, data, run.site)

    observer.phase("Starting")
    with timed("model"):
        ready = _prepare(run, rows.task, base)
    with timed("lineage"):
        results = [source.merged_result for source in merged.sources]
        lineage = build_lineage(run.record.job.spec, ready.files, ready.task.data.digest, results)
        run.add(lineage=lineage)
        check_base(merged.sources, ready.files)
    if not run.output.attempt:
        _claim_to_resume(run, lineage)
    if merged.sources:
        staged = _merge(run, ready, merged, scratch, to_predict=rows.to_predict)
        with timed("publish"):
            publish(staged, run.record, lineage, run.output, observer)
        return
    _train(run, ready, lineage, scratch, other=other, to_predict=rows.to_predict)


def _other_run(run: _Run) -> OtherRun | None:
    """The checked run that this one continues; this run's own checkpoints take precedence."""
    spec = run.record.job.spec
    has_own = spec.checkpoints.resume_from is not None and bool(prior_checkpoints(run.output.folder))
    return find_other_run(spec, run.site, is_needed=not has_own)


def _prepare(run: _Run, task: Task, base: BaseModel) -> PreparedModel:
    """Tokenise the rows and load the model."""
    hardware = take_hardware(task.spec)
    run.add(hardware=hardware)
    tokenised = tokenise_rows(task, base, run.observer)
    run.add(data=tokenised.report)
    ready = prepare_model(tokenised, base, run.site, hardware=hardware, timings=run.timings, observer=run.observer)
    if not ready.resolved.penalties:
        hardware |= describe_computation(ready)
    run.add(resolved=ready.resolved, parameters=ready.parameters, hardware=hardware)
    ready = with_evaluation_rows(ready, base, run.observer)
    return with_reference(ready, run.timings, run.observer, run.stop)


def _claim_to_resume(run: _Run, lineage: Lineage) -> None:
    """Claim an output with checkpoints, once it is known whether the run can resume from one."""
    output = run.output
    spec = run.record.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    check_resumable(output.folder, lineage, spec, resume=run.prior is ResumeMode.RESUMED)
    output.claim(run.observer.warned)
    run.observer.claimed(output.attempt)
    run.add(attempt=output.attempt)


def _train(
    run: _Run, ready: PreparedModel, lineage: Lineage, scratch: Path, *, other: OtherRun | None, to_predict: int
) -> None:
    """Train a prepared model and publish the result, saving checkpoints during training."""
    store, best = _open_store(run, scratch, other), BestWeights(scratch)
    spec = spec_json(run.record.job.spec)
    checkpoints = CheckpointCallback(store, best, run.requested, run.observer, run.stop, spec=spec)
    try:
        with checkpoints.settled():
            with run.timings.timed("resume"):
                checkpoints.find_checkpoint(lineage)
                _check_found(run, checkpoints)
            staged = _carry_out(run, ready, checkpoints, scratch, to_predict=to_predict)
            with run.timings.timed("publish"):
                checkpoints.finish()
                publish(staged, run.record, checkpoints.lineage, run.output, run.observer)
    finally:
        run.step, run.checkpoint = checkpoints.step, checkpoints.newest
        run.add(resumed_from=checkpoints.resumed_from)


def _check_found(run: _Run, checkpoints: CheckpointCallback) -> None:
    """Raise `CheckpointNotFound` where a run is to resume and no checkpoint verifies."""
    found = checkpoints.found
    if run.prior is ResumeMode.RESUMED and (found is None or found.run is not None):
        message = f"none of the checkpoints in {run.output.uri()} can be used; the warnings say why"
        hint = "run the job without --resume and --uid to start over"
        raise CheckpointNotFound(message, where="--resume", hint=hint)


def _carry_out(
    run: _Run, ready: PreparedModel, checkpoints: CheckpointCallback, scratch: Path, *, to_predict: int
) -> Path:
    """Evaluate the base model, train, evaluate the tuned model, and stage all that is published."""
    task, observer = ready.task, run.observer
    if task.spec.evaluation.baseline and checkpoints.known.baseline is None:
        observer.phase("Evaluating")
        with run.timings.timed("baseline"):
            checkpoints.known = CachedBaseline(score_baseline(ready, observer, run.stop))

    observer.phase("Training")
    with run.timings.timed("training"):
        summary = train(ready, checkpoints, observer, run.stop)
    run.add(training=summary, resumed_from=checkpoints.resumed_from, lineage=checkpoints.lineage)
    return _conclude(run, ready, checkpoints.known.baseline, scratch, to_predict=to_predict)


def _merge(run: _Run, ready: PreparedModel, merged: MergedSpec, scratch: Path, *, to_predict: int) -> Path:
    """Merge several results and stage the model; nothing is trained, no checkpoint saved."""
    task, observer, merge = ready.task, run.observer, ready.task.spec.method.merge
    if merge is None:
        raise ValueError(task.spec.method)
    observer.phase("Evaluating")
    with run.timings.timed("baseline"):
        baseline = score_baseline(ready, observer, run.stop) if task.spec.evaluation.baseline else None
    with run.timings.timed("merging"):
        ready, report = Merging(ready, merged.sources, merge, scratch, observer, run.stop).run()
    run.add(merge=report)
    return _conclude(run, ready, baseline, scratch, to_predict=to_predict, merged=merged.sources)


def _conclude(
    run: _Run,
    ready: PreparedModel,
    baseline: Outputs | None,
    scratch: Path,
    *,
    to_predict: int,
    merged: Sequence[Source] = (),
) -> Path:
    """Evaluate the model and stage all that is published; returns the folder."""
    observer, training = run.observer, run.record.training
    observer.phase("Evaluating")
    with run.timings.timed("evaluation"):
        run.add(weights_dtype=round_to_export(ready))
        best, verdict = (training.evaluation.best, training.verdict) if training else (None, None)
        found = evaluate(ready, baseline, best=best, verdict=verdict, observer=observer, stop=run.stop)
    run.add(evaluation=found)

    observer.phase("Exporting")
    staged = scratch / "output"
    with run.timings.timed("export"):
        exported = export_model(ready, staged, found.held_out, merged)
    run.add(example_input=exported.example_input, merge=_with_reference(run.record.merge, exported.drift_reference))
    write_report(run.record.report(run.timings), staged)
    if to_predict:
        predict(ready, staged, run.site, rows=to_predict, observer=observer, stop=run.stop)
    return staged


def _with_reference(merge: MergeReport | None, drift_reference: bool) -> MergeReport | None:
    return merge.model_copy(update={"drift_reference": drift_reference}) if merge is not None else None


def _open_store(run: _Run, scratch: Path, other: OtherRun | None) -> CheckpointStore:
    spec = run.record.job.spec
    retention = Retention(spec.checkpoints, metric_named(spec.task, spec.evaluation.metric))
    return CheckpointStore(run.output, scratch / "kept", retention, run.observer.warned, other=other)
