"""Publication of a run: its result with a manifest, or the report of a failure."""

from datetime import UTC, datetime
from pathlib import Path

from finetune_api.failures import JobFailure
from finetune_api.manifest import Lineage, Manifest
from finetune_api.outcome import Artifacts
from finetune_api.report import Report
from finetune_trainer.observer import RunObserver
from finetune_trainer.output.publish import OutputFolder, list_files
from finetune_trainer.run_record import RunRecord
from finetune_trainer.signals import StopToken
from finetune_trainer.stopping import within


def publish(staged: Path, record: RunRecord, lineage: Lineage, output: OutputFolder, observer: RunObserver) -> None:
    """Upload the staged files and commit them by a manifest. Raises as `OutputFolder.publish` does."""
    manifest = Manifest(
        job=record.job.metadata.name,
        uid=record.uid,
        outcome=record.outcome,
        created_at=datetime.now(UTC),
        files=list_files(staged),
        lineage=lineage,
        metrics=record.result.metrics,
    )
    with observer.working("publishing", sum(entry.size for entry in manifest.files)) as advance:
        output.publish(staged, manifest, advance)


def publish_failure(report: Report, output: OutputFolder, observer: RunObserver, stop: StopToken) -> Artifacts:
    """Write the report of a failed run, where it owns a writable output."""
    if not output.attempt:
        return Artifacts()

    def leave_report() -> None:
        output.withdraw()
        output.check_owner()
        for path, text in report_files(report).items():
            output.put(path, text.encode())

    try:
        if not within(stop.seconds_to_save, leave_report):
            observer.warned("the report was not written: the store did not answer in the time that a stop leaves")
            return Artifacts()
    except KeyboardInterrupt:  # asked to stop once more: the report is not worth the time
        return Artifacts()
    except JobFailure as second:
        observer.warned(f"the report of the failure could not be written: {second}")
        return Artifacts()
    return Artifacts(report=output.uri("report/index.html"))


def report_files(report: Report) -> dict[str, str]:
    """Report as JSON and as HTML page, by path in the output."""
    from finetune_trainer.reporting.page import render_page

    return {
        "report/report.json": report.model_dump_json(by_alias=True, indent=2),
        "report/index.html": render_page(report),
    }
