"""CPU check of a job before a GPU is taken: data, config and tokenizer of the model, output."""

import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_api.failures import Interrupted
from finetune_api.job import FineTuneJob
from finetune_api.outcome import Artifacts
from finetune_trainer.checkpoints.other_run import find_other_run
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run_record import RunRecord, RunResult, Timings
from finetune_trainer.stages.checking import (
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


def validate_job(job: FineTuneJob, site: Site, uid: str, observer: RunObserver) -> RunResult:
    """Check the job without its weights; nothing is written, failures are returned."""
    check = _Check(RunRecord(job, uid))
    try:
        _validate(check, site, observer)
    except KeyboardInterrupt:
        check.add(failure=Interrupted("stopped on request before the job was checked", hint="run the job again"))
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        check.add(failure=redacted(as_failure(error), site))
        traceback.clear_frames(error.__traceback__)
    return RunResult(check.record.report(check.timings), Artifacts(), check.record.failure)


@dataclass
class _Check:
    """One check, and the record of its results so far."""

    record: RunRecord
    timings: Timings = field(default_factory=Timings)

    def add(self, **found: Any) -> None:
        """Add results to the record."""
        self.record = replace(self.record, **found)


def _validate(check: _Check, site: Site, observer: RunObserver) -> None:
    job, timed = check.record.job, check.timings.timed
    observer.phase("Validating")
    OutputFolder(job.spec.output, site, job.metadata.name, check.record.uid).finished(spec_digest(job.spec))
    with timed("sources"):
        other = find_other_run(job.spec, site)
        merged = merged_spec(job.spec, site, weights=False)
    with timed("config"):
        base = merged.open_base(site)
    observer.said("model: config and tokenizer are fine")
    with timed("data"):
        data = read_rows(merged.spec, site, observer)
        check.add(data=data.report)
        task = check_rows_of(merged.spec, data, site).task
    check_precision(merged.spec)
    task, resolved = rows_in_template(task, base, other)
    check.add(resolved=resolved)
    sampled = check_tokens(task, base, resolved, check.timings, observer)
    check.add(data=sampled.report)
    observer.data_ready(sampled.report)
    with timed("model"):
        check_model(sampled, base, resolved, merged.sources)
    observer.said("model: its class, head and modules suit the job")
