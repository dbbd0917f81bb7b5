"""`finetune-trainer validate`: what is wrong with a job, or what it would do. The cluster's check before a GPU too."""

import json
import sys
from typing import TYPE_CHECKING, Any

from finetune_api.failures import JobFailure
from finetune_api.resolved import resolve
from finetune_trainer.cli.errors import failure_fields
from finetune_trainer.cli.local import local_notes
from finetune_trainer.cli.quiet import quiet_libraries
from finetune_trainer.manifest import LoadedJob, load_job

if TYPE_CHECKING:
    from finetune_api.data_report import DataReport


def validate_command(job: str, overrides: list[str], *, as_json: bool, spec_only: bool) -> int:
    """Check a manifest and its data, and show what the job would do; returns the exit code.

    Raises the failures of both, unless they are told as JSON.
    """
    try:
        loaded = load_job(job, overrides, to_run=not spec_only)
        report = None if spec_only else _check_data(loaded)
    except JobFailure as failure:
        if not as_json:
            raise
        _print_json({"valid": False, "failure": failure_fields(failure)})
        return int(failure.exit_code)
    if as_json:
        _print_json(_facts(loaded, report))
        return 0
    from finetune_trainer.cli.foresight import foresight_lines

    for line in foresight_lines(loaded.job, report):
        print(line)  # noqa: T201 -- this is the output
    return 0


def _check_data(loaded: LoadedJob) -> "DataReport":
    quiet_libraries()
    from finetune_trainer.agreement import check_agreement
    from finetune_trainer.data.old_skill import prepare_job
    from finetune_trainer.data.rows_to_predict import check_rows
    from finetune_trainer.storage import Site

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"{text}\n")

    spec, site = loaded.job.spec, Site(loaded.base)
    if spec.method.merge is not None:
        from finetune_trainer.tasks.merged import as_its_sources, sources_of

        spec = as_its_sources(spec, sources_of(spec, site, weights=False))
    report = prepare_job(spec, site, tell).report
    check_agreement(spec, report)
    check_rows(spec, report.columns, site)
    return report


def _facts(loaded: LoadedJob, report: "DataReport | None") -> dict[str, Any]:
    spec = loaded.job.spec
    rows = report.training_rows if report else None
    resolved = resolve(spec, rows)
    facts: dict[str, Any] = {
        "valid": True,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "resolved": resolved.model_dump(mode="json", by_alias=True, exclude_none=True),
        "data": report.model_dump(mode="json", by_alias=True) if report else None,
        "plan": None,
        "warnings": [*local_notes(loaded.job), *(report.warnings if report else [])],
    }
    if rows is not None:
        from finetune_trainer.plan import plan_steps

        steps = plan_steps(spec, resolved, rows)
        facts["plan"] = {
            "stepsPerEpoch": steps.an_epoch,
            "totalSteps": steps.total,
            "evaluateEvery": steps.evaluate_every,
        }
    return facts


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content))  # noqa: T201 -- this is the output
