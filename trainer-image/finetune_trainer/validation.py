"""Checks a job on a CPU, before a GPU is taken: its data, its model's config and tokenizer, its output."""

import traceback

from finetune_api.failures import Interrupted
from finetune_api.job import FineTuneJob
from finetune_api.outcome import Artifacts
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.run_result import RunResult
from finetune_trainer.stages.checking import check_rows_of, check_tokens, merged_spec
from finetune_trainer.storage import Site, redacted
from finetune_trainer.unexpected import as_failure


def validate_job(job: FineTuneJob, site: Site, uid: str, observer: RunObserver) -> RunResult:
    """Check the job as far as it goes without its weights; nothing is written, and failures are returned."""
    notes = Notes(job, uid)
    try:
        _validate(job, site, notes, observer)
    except KeyboardInterrupt:
        notes.failure = Interrupted("stopped on request before the job was checked", hint="run the job again")
    except Exception as error:  # noqa: BLE001 -- the last line of defence: an unknown end is told as one
        notes.failure = redacted(as_failure(error), site)
        traceback.clear_frames(error.__traceback__)
    return RunResult(notes.report(), Artifacts(), notes.failure)


def _validate(job: FineTuneJob, site: Site, notes: Notes, observer: RunObserver) -> None:
    observer.phase("Validating")
    OutputFolder(job.spec.output, site, job.metadata.name, notes.uid).finished(spec_digest(job.spec))
    merged = merged_spec(notes, site, weights=False)
    with notes.timed("config"):
        base = merged.open_base(site)
    observer.said("model: config and tokenizer are fine")
    check_tokens(check_rows_of(merged.spec, notes, site, observer).task, base, notes, observer)
    if notes.data is not None:
        observer.data_ready(notes.data)
