"""Commands of `finetune-trainer`: each parses arguments, calls one function and prints the result."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import SpecInvalid
from finetune_api.pod import PORT
from finetune_trainer import __version__
from finetune_trainer.cli.errors import print_failure
from finetune_trainer.cli.lines import drop_output, show_what_can_be_shown
from finetune_trainer.unexpected import as_failure

app = typer.Typer(
    name="finetune-trainer",
    help="Fine-tune, evaluate and report on Hugging Face models from a FineTuneJob.",
    no_args_is_help=True,
    epilog="Exit codes: 0 done, 2 wrong arguments, 64 bad spec, 65 bad data, 66 not found, "
    "85 stopped with a checkpoint, 86 a gate was missed, 87 drift, 130 stopped without; the others are in "
    "docs/reference/failures.md.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Job = Annotated[str, typer.Argument(metavar="JOB.yaml", help="A FineTuneJob manifest; - reads standard input.")]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field, e.g. --set training.epochs=5. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs to standard output.")]
InputFormat = Annotated[
    str,
    typer.Option(
        "--input-format",
        metavar="CSV|JSONL|JSON|Parquet|CoNLL|Lines",
        help="Format of the input, Lines being a text per line; by default by its ending, then as in training.",
    ),
]
Encoding = Annotated[
    str,
    typer.Option(
        "--encoding", metavar="NAME", help="Text encoding of the input; by default UTF-8, else as in training."
    ),
]
Delimiter = Annotated[
    str,
    typer.Option(
        "--delimiter", metavar="CHARACTER", help="Column separator of a CSV input; by default that of its header line."
    ),
]
QuotingOption = Annotated[
    str,
    typer.Option(
        "--quoting",
        metavar="DoubleQuote|Backslash|SingleQuote|None",
        help="What quotes are in a CSV input; by default found from it.",
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="NAME", help="Split of an hf://datasets/ input; by default train.")
]
Subset = Annotated[
    str, typer.Option("--subset", metavar="NAME", help="Subset (configuration) of an hf://datasets/ input.")
]
Revision = Annotated[
    str, typer.Option("--revision", metavar="NAME", help="Commit, tag or branch of an hf://datasets/ input.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")]


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
def run(  # noqa: PLR0917 -- typer calls it by name
    job: Job,
    overrides: Overrides = [],  # noqa: B006 -- typer copies it
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER|URI", help="Where results go, instead of spec.output.uri.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an unfinished run of this job: the newest, or UID.")
    ] = False,
    resume_from: Annotated[
        str,
        typer.Option(
            "--resume-from",
            metavar="FOLDER|URI",
            help="Continue the training of another run: its output folder, instead of spec.checkpoints.resumeFrom.uri.",
        ),
    ] = "",
    uid: Annotated[
        str,
        typer.Option("--uid", metavar="UID", help="Name of the run, its folder in the output; by default the time."),
    ] = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run the whole job: check, train, evaluate, export, report."""
    from finetune_trainer.cli.run_command import Wanted, check_uid, run_command

    if uid:
        try:
            check_uid(uid, "--uid")
        except SpecInvalid as problem:
            raise typer.BadParameter(
                f"{problem.problems[0].message}: {problem.problems[0].hint}", param_hint="--uid"
            ) from None
    wanted = Wanted(job, overrides, output, resume, uid, resume_from)
    raise typer.Exit(run_command(wanted, as_json=as_json, debug=debug))


@app.command()
def validate(
    job: Job,
    overrides: Overrides = [],  # noqa: B006 -- typer copies it
    spec_only: Annotated[
        bool, typer.Option("--spec-only", help="Check the manifest alone, not model and data.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check a job, its model and its data; show what it would do."""
    from finetune_trainer.cli.validate_command import validate_command

    with _debugging(debug):
        raise typer.Exit(validate_command(job, overrides, as_json=as_json, spec_only=spec_only))


@app.command()
def estimate(  # noqa: PLR0917 -- typer calls it by name
    job: Job,
    overrides: Overrides = [],  # noqa: B006 -- typer copies it
    memory: Annotated[
        str, typer.Option("--memory", metavar="24Gi", help="Memory of the GPU or machine; by default of this one.")
    ] = "",
    rate: Annotated[
        str,
        typer.Option("--rate", metavar="TOKENS|FOLDER", help="Measured tokens per second, or the folder of a run."),
    ] = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Estimate memory and time of a job, and whether it fits."""
    from finetune_trainer.cli.estimate_command import Wanted, estimate_command

    with _debugging(debug):
        raise typer.Exit(estimate_command(Wanted(job, overrides, memory, rate), as_json=as_json))


@app.command()
def predict(  # noqa: PLR0917 -- typer calls it by name
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Output folder of a run (or its model/), path or URI.")],
    rows: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="CSV, JSONL, JSON, Parquet or CoNLL file, path or URI; - is standard input: these, or texts by line.",
        ),
    ],
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="table|jsonl|csv",
            help="Default: table on a terminal, by FILE's ending, else jsonl.",
        ),
    ] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")] = "",
    text: Annotated[
        str, typer.Option("--text", metavar="COLUMN", help="Column of the texts, if named otherwise than in training.")
    ] = "",
    text_pair: Annotated[
        str, typer.Option("--text-pair", metavar="COLUMN", help="The same for the second text of pairs.")
    ] = "",
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="ROLE=COLUMN", help="The same for any role, such as tokens; can be repeated."),
    ] = None,
    input_format: InputFormat = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    quoting: QuotingOption = "",
    split: Split = "",
    subset: Subset = "",
    revision: Revision = "",
    debug: Debug = False,
) -> None:
    """Predict with a tuned model: what it says of each row."""
    from finetune_trainer.cli.predict_command import Input, columns_by_role, predict_command

    with _debugging(debug):
        columns = {"text": text, "text_pair": text_pair} | columns_by_role(column or [])
        given = Input(rows, columns, input_format, encoding, delimiter, quoting, split, subset, revision)
        predict_command(model, given, output_format, Path(output) if output else None)


@app.command()
def drift(  # noqa: PLR0917 -- typer calls it by name
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Output folder of a run (or its model/), path or URI.")],
    rows: Annotated[str, typer.Argument(metavar="NEWDATA", help="Rows as for predict; - reads standard input.")],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="ROLE=COLUMN", help="A column, if named otherwise than in training."),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option("--fail-above", metavar="BITS", help="End with code 87 if a divergence is above, beyond chance."),
    ] = None,
    input_format: InputFormat = "",
    encoding: Encoding = "",
    delimiter: Delimiter = "",
    quoting: QuotingOption = "",
    split: Split = "",
    subset: Subset = "",
    revision: Revision = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare new rows with those that a model was trained on."""
    from finetune_trainer.cli.drift_command import drift_command
    from finetune_trainer.cli.predict_command import Input, columns_by_role

    with _debugging(debug):
        roles = columns_by_role(column or [])
        given = Input(rows, roles, input_format, encoding, delimiter, quoting, split, subset, revision)
        raise typer.Exit(int(drift_command(model, given, fail_above=fail_above, as_json=as_json)))


@app.command()
def pod(
    run_file: Annotated[
        str, typer.Option("--run-file", metavar="FILE", help="The order; by default where the operator mounts it.")
    ] = "",
    root: Annotated[
        Path, typer.Option("--root", metavar="FOLDER", hidden=True, help="Stands for / in the places of a pod.")
    ] = Path("/"),
    port: Annotated[int, typer.Option("--port", hidden=True, help="Port to serve on; 0 takes a free one.")] = PORT,
) -> None:
    """Carry out the operator's order: what a pod runs."""
    from finetune_trainer.cli.pod_command import pod_command

    raise typer.Exit(pod_command(run_file, root, port))


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
    """Explain a field: type, default, bounds, meaning."""
    from finetune_trainer.cli.explain import explain_field

    typer.echo(explain_field(field))


@contextmanager
def _debugging(wanted: bool) -> Iterator[None]:
    """Show the trace of what goes wrong, if that is wanted; the message comes after it."""
    try:
        yield
    except Exception as error:
        if wanted and not isinstance(error, typer.Exit):
            traceback.print_exception(error)
        raise


def main() -> None:
    """Run the command line; failures become messages and exit codes."""
    show_what_can_be_shown()
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.INTERRUPTED))
    except BrokenPipeError:  # the reader has what it wanted (`| head`)
        drop_output(sys.stdout)
        sys.exit(int(ExitCode.DONE))
    except Exception as error:  # noqa: BLE001 -- the last line of defence: nobody should have to read a traceback
        failure = as_failure(error)
        print_failure(failure, as_json="--json" in sys.argv)
        sys.exit(int(failure.exit_code))
