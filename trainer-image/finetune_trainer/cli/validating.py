"""`finetune-trainer validate`."""

import json

import typer

from finetune_api.report import DataReport
from finetune_api.resolved import resolve
from finetune_trainer.cli.words import data_line
from finetune_trainer.manifest import LoadedJob, load_job


def validate_command(job: str, overrides: list[str], *, as_json: bool, spec_only: bool) -> None:
    """Check a manifest and its data, and show what was found. Raises the failures of both."""
    loaded = load_job(job, overrides)
    report = None if spec_only else _check_data(loaded)
    if as_json:
        typer.echo(json.dumps(_as_json(loaded, report)))
        return
    spec = loaded.job.spec
    typer.echo(f"{loaded.job.metadata.name}: {spec.task} by {spec.method.type}, model {spec.model.uri}")
    values = resolve(spec).model_dump(by_alias=True)
    typer.echo("values in force: " + ", ".join(f"{name} {value:g}" for name, value in values.items()))
    if report is not None:
        typer.echo(data_line(report))
        _show_labels(report)
        for warning in report.warnings:
            typer.echo(f"warning: {warning}")
    typer.echo("valid" if report else "valid (data not looked at)")


def _check_data(loaded: LoadedJob) -> DataReport:
    from finetune_trainer.data import prepare

    return prepare(loaded.job.spec.data, base=loaded.base).report


def _as_json(loaded: LoadedJob, report: DataReport | None) -> dict[str, object]:
    return {
        "valid": True,
        "spec": loaded.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        "resolved": resolve(loaded.job.spec).model_dump(mode="json", by_alias=True),
        "data": report.model_dump(mode="json", by_alias=True) if report else None,
    }


def _show_labels(report: DataReport) -> None:
    names = report.label_names
    width = max((len(name) for name in names), default=0)
    splits = report.splits
    for name in names[:20]:
        counts = "  ".join(f"{split} {part.labels.get(name, 0):>6,}" for split, part in splits.items())
        typer.echo(f"  {name:<{width}}  {counts}")
    if len(names) > 20:
        typer.echo(f"  ... and {len(names) - 20} more labels")
