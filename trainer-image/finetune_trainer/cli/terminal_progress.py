"""Progress on a terminal: bars during operations, a table at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from finetune_api.data_report import DataReport
from finetune_api.outcome import EvaluationResult, Outcome, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_trainer.cli.messages import (
    checkpoint_line,
    data_line,
    evaluation_line,
    headline_rows,
    model_line,
    number,
    outcome_line,
    place,
    predict_command_line,
    resumed_line,
)
from finetune_trainer.observer import Advance, CheckpointStatus, TrainingTotals, Upload

_STYLE = {
    Outcome.SUCCEEDED: "bold green",
    Outcome.GATE_FAILED: "bold yellow",
    Outcome.FAILED: "bold red",
    Outcome.STOPPED: "bold yellow",
}
_INDENT = (0, 0, 0, 2)


class TerminalObserver:
    """Shows a run on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._training: TaskID | None = None
        self._upload: Upload | None = None

    def phase(self, name: str) -> None:
        """Announce a phase."""
        self._end_training()
        self._console.print(Text(f"● {name}", style="bold cyan"))

    def said(self, text: str) -> None:
        """Print a line."""
        self._print(text, "dim")

    def warned(self, text: str) -> None:
        """Print a warning."""
        self._print(f"! {text}", "yellow")

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:
        """Show a bar that disappears when it is full."""
        with self._new_bars(transient=True) as bars:
            task = bars.add_task(f"  {what}", total=total, note="")
            yield lambda rows: bars.advance(task, rows)

    def data_ready(self, report: DataReport) -> None:
        """Print the summary of the data."""
        self._print(data_line(report))
        for warning in report.warnings:
            self.warned(warning)

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """Print model and hyperparameters."""
        for line in model_line(parameters, resolved, hardware):
            self._print(line)

    def claimed(self, attempt: int) -> None:
        """Print the attempt number, if there were attempts before."""
        if attempt > 1:
            self.said(f"attempt {attempt} at this output")

    def resumed(self, step: int, attempt: int) -> None:
        """Print which checkpoint training resumes from."""
        self._print(resumed_line(step, attempt))

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """Print the committed checkpoint."""
        if safe.upload is not None and safe.upload != self._upload:
            self._upload = safe.upload
            self._print(checkpoint_line(safe.upload), "dim")

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:
        """Advance the training bar."""
        if self._bars is None:
            self._bars = self._new_bars(transient=True)
            self._bars.start()
            self._training = self._bars.add_task("  training", total=progress.total_steps, note="")
        if self._training is not None:
            reward = tally.figures.get("meanReward")
            said = f"loss {progress.loss:.3f}" if reward is None else f"reward {reward:.3f}"
            note = f"{said}  {progress.samples_per_second:.0f} rows/s"
            self._bars.update(self._training, completed=progress.step, note=note)

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """Print the metrics on the validation rows above the bar."""
        self._print(evaluation_line(step, metrics, is_best), "green" if is_best else None)

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """No output: the table at the end has it all."""

    def finished(self, report: Report, uri: str) -> None:
        """Print the results table, the gates and the locations of the outputs."""
        self._end_training()
        self._console.print()
        if report.evaluation.metrics:
            self._console.print(result_table(report))
        self._console.print(Text(outcome_line(report), style=_STYLE[report.outcome]))
        if report.evaluation.remark:
            self._print(report.evaluation.remark)
        if report.verdict is not None and report.failure is None:
            self._print(f"{report.verdict.fit}: {report.verdict.reason}", "dim")
        if report.failure is None:
            self._places(uri, report.example_input or "your text")

    def _places(self, uri: str, example: str) -> None:
        folder = place(uri)
        for name, value in (
            ("model", f"{folder}/model"),
            ("report", f"{folder}/report/index.html"),
            ("try it", predict_command_line(uri, example)),
        ):
            self._console.print(Text.assemble((f"  {name:<8}", "bold"), value), soft_wrap=True)

    def _end_training(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._training = None

    def _print(self, text: str, style: str | None = None) -> None:
        console = self._bars.console if self._bars else self._console
        console.print(Padding(Text(text, style=style or ""), _INDENT))

    def _new_bars(self, *, transient: bool) -> Bars:
        return Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=transient,
        )


def result_table(report: Report) -> Table:
    """Table of baseline and tuned metrics, and of the gates."""
    table = Table(title=f"{report.job}: {report.evaluated_on} rows", title_justify="left", title_style="bold")
    table.add_column("metric")
    few_shot = report.evaluation.few_shot
    for column in ("base model", *(["examples"] if few_shot else []), "tuned", "gate"):
        table.add_column(column, justify="right")
    rows = headline_rows(report)
    shown = {name for name, _, _ in rows}
    rows += [
        (g.metric, g.baseline, g.value)
        for g in report.evaluation.gates
        if g.metric not in shown and g.value is not None
    ]
    for name, before, after in rows:
        untouched = [before, few_shot.get(name)] if few_shot else [before]
        cells = [number(value) if value is not None else "-" for value in untouched]
        table.add_row(name, *cells, Text(number(after), style="bold"), _gates(report, name))
    return table


def _gates(report: Report, metric: str) -> Text:
    text = Text()
    for gate in report.evaluation.gates:
        if gate.metric == metric:
            mark, style = ("✓", "green") if gate.passed else ("✗", "red")
            text.append(f"{', ' if text else ''}{gate.limit} {mark}", style=style)
    return text
