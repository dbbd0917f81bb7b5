"""The commands of `finetune-trainer`. Each is thin: read arguments, call one function, show the result."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from finetune_api.failures import JobFailure
from finetune_trainer import __version__
from finetune_trainer.cli.errors import print_failure

app = typer.Typer(
    name="finetune-trainer",
    help="Fine-tune, evaluate and report on Hugging Face models from a FineTuneJob.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Job = Annotated[str, typer.Argument(metavar="JOB.yaml", help="A FineTuneJob manifest; - reads standard input.")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field, e.g. --set training.epochs=5. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs to standard output.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"finetune-trainer {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fine-tune, evaluate and report on Hugging Face models from a FineTuneJob."""


@app.command()
def run(
    job: Job,
    overrides: Overrides = [],  # noqa: B006 -- typer copies it
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER|URI", help="Where results go, instead of spec.output.uri.")
    ] = "",
    as_json: AsJson = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an unexpected error.")] = False,
) -> None:
    """Run the whole job: check, train, evaluate, export, report."""
    from finetune_trainer.cli.running import run_command

    raise typer.Exit(run_command(job, overrides, output, as_json=as_json, debug=debug))


@app.command()
def validate(
    job: Job,
    overrides: Overrides = [],  # noqa: B006 -- typer copies it
    as_json: AsJson = False,
    spec_only: Annotated[bool, typer.Option("--spec-only", help="Check the manifest alone, not the data.")] = False,
) -> None:
    """Check the manifest and the data without training; shows what the job would do."""
    from finetune_trainer.cli.validating import validate_command

    validate_command(job, overrides, as_json=as_json, spec_only=spec_only)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Output folder of a run (or its model/), path or URI.")],
    rows: Annotated[
        str, typer.Argument(metavar="INPUT", help="csv, jsonl, json or parquet file, or - for standard input.")
    ],
    output_format: Annotated[
        str, typer.Option("--format", "-f", help="table, jsonl or csv; table on a terminal, else jsonl.")
    ] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here instead.")] = "",
) -> None:
    """Predict with a tuned model: a label and scores for each row."""
    from finetune_trainer.cli.predicting import predict_command

    predict_command(model, rows, output_format, Path(output) if output else None)


@app.command()
def schema() -> None:
    """Print the JSON schema of FineTuneJob, for editors."""
    import json

    from finetune_trainer.cli.explain import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
def explain(
    field: Annotated[str, typer.Argument(metavar="FIELD", help="For example training.learningRate or method.lora.")],
) -> None:
    """Explain a field of FineTuneJob: type, default, bounds and meaning."""
    from finetune_trainer.cli.explain import explain_field

    typer.echo(explain_field(field))


def main() -> None:
    """Run the command line; failures become messages and exit codes."""
    try:
        app(standalone_mode=True)
    except JobFailure as failure:
        print_failure(failure, as_json="--json" in sys.argv)
        sys.exit(int(failure.exit_code))
    except KeyboardInterrupt:
        sys.exit(130)
