"""`finetune-trainer validate`: problems of a job, or its plan. Also the operator's check before a GPU is taken."""

import json
import sys
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from finetune_api.failures import JobFailure
from finetune_api.resolved import Resolved, resolve
from finetune_trainer.cli.errors import failure_fields
from finetune_trainer.cli.local import local_run_notes
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.manifest import LoadedJob, load_job

if TYPE_CHECKING:
    from finetune_api.data_report import DataReport
    from finetune_trainer.estimation.job_size import JobSize


@dataclass(frozen=True)
class Found:
    """Results of a check."""

    resolved: Resolved
    """The values in force: those of the run, once model and rows are known."""
    report: "DataReport | None" = None
    """None where the rows were not looked at."""
    limit: int | None = None
    """Longest input that the model takes, in tokens; None where it was not looked at."""
    unseen: str = ""
    """Why the model was not looked at."""
    size: "JobSize | None" = None
    """Memory and work of the job; None where the model was not looked at."""


def validate_command(job: str, overrides: list[str], *, as_json: bool, spec_only: bool) -> int:
    """Check a manifest, its model and its data, and print problems or plan; returns the exit code.

    Raises the failures of all three, unless they are told as JSON.
    """
    try:
        loaded = load_job(job, overrides, to_run=not spec_only)
        found = Found(resolve(loaded.job.spec)) if spec_only else _check(loaded)
    except JobFailure as failure:
        if not as_json:
            raise
        _print_json({"valid": False, "failure": failure_fields(failure)})
        return int(failure.exit_code)
    warnings = _warnings(loaded, found)
    if as_json:
        _print_json(_facts(loaded, found, warnings))
        return 0
    from finetune_trainer.cli.plan_summary import plan_lines

    memory = "" if found.size is None else found.size.line
    for line in plan_lines(loaded.job, found.report, found.resolved, warnings, memory):
        print(line)  # noqa: T201 -- this is the output
    return 0


def _check(loaded: LoadedJob) -> Found:
    silence_libraries()
    from finetune_trainer.cli.plain_progress import PlainObserver
    from finetune_trainer.cli.reachable_model import open_within
    from finetune_trainer.estimation.job_size import memory_here
    from finetune_trainer.output.publish import OutputFolder
    from finetune_trainer.run_record import RunRecord
    from finetune_trainer.storage import Site
    from finetune_trainer.validation import JobCheck

    observer = PlainObserver(sys.stderr if sys.stderr.isatty() else StringIO())
    site, job = Site(loaded.base), loaded.job
    if job.spec.output.uri.startswith("file://"):
        OutputFolder(job.spec.output, site, job.metadata.name, _NO_RUN).check_place()
    checked = JobCheck(RunRecord(job, _NO_RUN), site, observer, memory_here(job.spec)).run(open_within)
    return Found(checked.resolved, checked.report, checked.limit, checked.unseen, checked.size)


_NO_RUN = "validate"
"""In the place of a run's uid: nothing is written."""


def _warnings(loaded: LoadedJob, found: Found) -> list[str]:
    """Warnings about a job that passed its checks."""
    model = f"The model was not looked at: {found.unseen}. Its tokenizer, chat template and limits are unchecked."
    told = found.report.warnings if found.report else []
    memory = found.size.warning if found.size else ""
    return [*local_run_notes(loaded.job), *([model] if found.unseen else []), *told, *filter(None, [memory])]


def _facts(loaded: LoadedJob, found: Found, warnings: list[str]) -> dict[str, Any]:
    spec, report = loaded.job.spec, found.report
    facts: dict[str, Any] = {
        "valid": True,
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "resolved": found.resolved.model_dump(mode="json", by_alias=True, exclude_none=True),
        "model": {"uri": spec.model.uri, "longestInput": found.limit, "notLookedAt": found.unseen or None},
        "data": report.model_dump(mode="json", by_alias=True) if report else None,
        "plan": None,
        "size": found.size.as_json() if found.size else None,
        "warnings": warnings,
    }
    rows = report.training_rows if report else None
    if rows is not None:
        from finetune_trainer.plan import plan_steps

        steps = plan_steps(spec, found.resolved, rows)
        facts["plan"] = {
            "stepsPerEpoch": steps.an_epoch,
            "totalSteps": steps.total,
            "evaluateEvery": steps.evaluate_every,
        }
    return facts


def _print_json(content: dict[str, Any]) -> None:
    print(json.dumps(content))  # noqa: T201 -- this is the output
