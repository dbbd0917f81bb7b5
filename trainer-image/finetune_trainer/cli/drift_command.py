"""`finetune-trainer drift`: compares new rows with the training rows of a model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.drift import Drift
from finetune_api.exit_codes import ExitCode
from finetune_trainer.cli.predict_command import Input, input_file
from finetune_trainer.cli.run_command import as_uri
from finetune_trainer.cli.silence_libraries import silence_libraries

if TYPE_CHECKING:
    from finetune_api.drift import DriftReport, Shift

_STYLES = {Drift.NONE: "green", Drift.SOME: "yellow", Drift.STRONG: "bold red"}


def drift_command(model: str, given: Input, *, fail_above: float | None, as_json: bool) -> ExitCode:
    """Compare and print; returns `DRIFTED` where a divergence exceeds chance by more than `fail_above`.

    Raises what reading the model and the rows raises.
    """
    silence_libraries()
    from finetune_trainer.drift.inputs import measure_drift
    from finetune_trainer.storage import Site

    report = measure_drift(as_uri(model), input_file(given), Site(Path.cwd()), given.columns)
    if as_json:
        sys.stdout.write(report.model_dump_json(by_alias=True) + "\n")
    else:
        _show(report)
    worst = max(shift.beyond_chance for shift in report.shifts)
    return ExitCode.DRIFTED if fail_above is not None and worst > fail_above else ExitCode.DONE


def _show(report: "DriftReport") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"{report.rows:,} rows against {report.reference_rows:,} of the training: drift {report.drift}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("statistic", "divergence", "by chance", "drift", "training", "now"):
        table.add_column(name, justify="right" if name in ("divergence", "by chance") else "left")
    for shift in report.shifts:
        cells = (shift.name, f"{shift.divergence:.4f}", f"{shift.chance:.4f}")
        table.add_row(*cells, Text(shift.drift, style=_STYLES[shift.drift]), *_sides(shift))
    Console(file=sys.stdout).print(table)


def _sides(shift: "Shift") -> tuple[str, str]:
    return shift.before.replace("[", "\\["), shift.now.replace("[", "\\[")
