"""Checks a job on a CPU, before a GPU is taken: its data, its model's config and tokenizer, its output."""

import traceback

from finetune_api.failures import Interrupted
from finetune_api.job import FineTuneJob
from finetune_api.outcome import Artifacts
from finetune_trainer.agreement import check_agreement
from finetune_trainer.data.old_skill import prepare_job
from finetune_trainer.data.rows_to_predict import check_rows
from finetune_trainer.models.classifier import check_architecture, load_tokenizer, position_limit
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.models.judge import check_judge
from finetune_trainer.notes import Notes
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.lineage import spec_digest
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.plan import resolve_values
from finetune_trainer.run_result import RunResult
from finetune_trainer.storage import Site, redacted
from finetune_trainer.tasks.merged import as_its_sources, sources_of
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
    spec = job.spec
    observer.phase("Validating")
    with notes.timed("sources"):
        spec = as_its_sources(spec, sources_of(spec, site, weights=False))
    OutputFolder(spec.output, site, job.metadata.name, notes.uid).finished(spec_digest(job.spec))
    with notes.timed("model"):
        files = fetch_model(spec.model, site, weights=False)
        check_architecture(files, spec.task)
        limit = position_limit(files, load_tokenizer(files))
        notes.resolved = resolve_values(spec, limit)
        if spec.training.policy is not None and not spec.training.policy.reward.is_checked:
            check_judge(spec.training.policy.reward, site)
    observer.said("model: config and tokenizer are fine")
    with notes.timed("data"):
        notes.data = prepare_job(spec, site, observer.said).report
    notes.resolved = resolve_values(spec, limit, notes.data.training_rows)
    check_agreement(spec, notes.data)
    check_rows(spec, notes.data.columns, site)
    observer.data_ready(notes.data)
