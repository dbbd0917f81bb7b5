"""CPU check of a job before a GPU is taken: data, config and tokenizer of the model, output."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_api.data_report import DataReport
from finetune_api.failures import Interrupted
from finetune_api.job import FineTuneJob
from finetune_api.outcome import Artifacts
from finetune_api.resolved import Resolved, resolve
from finetune_trainer.checkpoints.other_run import find_other_run
from finetune_trainer.estimation.job_size import JobSize, Memory, size_job
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run_record import RunRecord, RunResult, Timings
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import (
    MergedSpec,
    check_precision,
    check_rows_of,
    check_tokens,
    merged_spec,
    read_rows,
    rows_in_template,
)
from finetune_trainer.stages.model_check import check_model
from finetune_trainer.storage import Site, redacted
from finetune_trainer.unexpected import as_failure

OpenBase = Callable[[MergedSpec, Site], tuple[BaseModel | None, str]]
"""Opens the base model of a job; else tells why it was not looked at."""


@dataclass(frozen=True)
class Checked:
    """Values of a job that passed its checks."""

    resolved: Resolved
    """The values in force: those of the run, where the model was looked at."""
    report: DataReport
    limit: int | None = None
    """Longest input that the model takes, in tokens; None where it was not looked at."""
    unseen: str = ""
    """Why the model was not looked at."""
    size: JobSize | None = None
    """Memory and work of the job; None where the model was not looked at."""


@dataclass
class JobCheck:
    """One check of a job, and the record of its results so far: a failed one has some."""

    record: RunRecord
    site: Site
    observer: RunObserver
    memory: Memory | None = None
    """Memory that the job must fit into, if that is known."""
    timings: Timings = field(default_factory=Timings)

    def add(self, **found: Any) -> None:
        """Add results to the record."""
        self.record = replace(self.record, **found)

    def run(self, open_base: OpenBase, data_ready: Callable[[DataReport], None] = lambda _report: None) -> Checked:
        """Check model, rows and both together, in the order of a run. Raises the failures of all stages.

        `data_ready` gets the data report once the rows are tokens, before the model is built.
        """
        spec, site, timed = self.record.job.spec, self.site, self.timings.timed
        with timed("sources"):
            other = find_other_run(spec, site)
            merged = merged_spec(spec, site, weights=False)
        with timed("config"):
            base, unseen = open_base(merged, site)
        with timed("data"):
            data = read_rows(merged.spec, site, self.observer)
            self.add(data=data.report)
            task = check_rows_of(merged.spec, data, site).task
        check_precision(merged.spec)
        if base is None:
            return Checked(resolve(merged.spec, data.report.training_rows), data.report, unseen=unseen)
        task, resolved = rows_in_template(task, base, other)
        self.add(resolved=resolved)
        sampled = check_tokens(task, base, resolved, self.timings, self.observer)
        self.add(data=sampled.report)
        data_ready(sampled.report)
        with timed("model"):
            check_model(sampled, base, resolved, merged.sources)
        with timed("memory"):
            size = size_job(sampled, base, resolved, self.memory)
        return Checked(resolved, sampled.report, base.limit, size=size)


def validate_job(
    job: FineTuneJob, site: Site, uid: str, observer: RunObserver, gpu_memory: int | None = None
) -> RunResult:
    """Check the job without its weights; nothing is written, failures are returned.

    A job that can't fit into a GPU of `gpu_memory` bytes fails.
    """
    memory = None if gpu_memory is None else Memory(gpu_memory, "by the compute profile")
    check = JobCheck(RunRecord(job, uid), site, observer, memory)
    try:
        _validate(check)
    except KeyboardInterrupt:
        check.add(failure=Interrupted("stopped on request before the job was checked", hint="run the job again"))
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        check.add(failure=redacted(as_failure(error), site))
        traceback.clear_frames(error.__traceback__)
    return RunResult(check.record.report(check.timings), Artifacts(), check.record.failure)


def _validate(check: JobCheck) -> None:
    job, site, observer = check.record.job, check.site, check.observer
    observer.phase("Validating")
    OutputFolder(job.spec.output, site, job.metadata.name, check.record.uid).finished(spec_digest(job.spec))

    def open_base(merged: MergedSpec, site: Site) -> tuple[BaseModel, str]:
        base = merged.open_base(site)
        observer.said("model: config and tokenizer are fine")
        return base, ""

    size = check.run(open_base, observer.data_ready).size
    observer.said("model: its class, head and modules suit the job")
    if size is not None:
        observer.said(f"memory: {size.line}")
        size.check()
        if size.warning:
            observer.warned(size.warning)
