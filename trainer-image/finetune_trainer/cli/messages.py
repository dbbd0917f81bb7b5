"""Text fragments shared by all progress outputs. Pure: values in, lines out."""

import re
from shlex import quote
from urllib.parse import unquote

from finetune_api.data_report import DataReport
from finetune_api.outcome import GateResult, Outcome, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_trainer.observer import Upload
from finetune_trainer.reporting.headline import LEADING, LEADING_OF_TASK, leading_metrics

_SHOWN_METRICS = 3
_PLAIN = re.compile(r"[\w \[\]<>]+")
"""What means itself between double quotes, in every shell."""


def duration(seconds: float) -> str:
    """Seconds as text: `8s`, `2m 05s`, `3h 10m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def number(value: float) -> str:
    """A metric with four decimals below 100, one above."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def data_line(report: DataReport) -> str:
    """Summary of the data in one line."""
    splits = ", ".join(f"{name} {split.rows:,}" for name, split in report.splits.items())
    labels = f"; {len(report.label_names)} labels" if report.label_names else ""
    if report.tag_scheme:
        labels = f"; {len(report.label_names)} tags ({report.tag_scheme})"
    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (report.bad_rows, "invalid examples skipped"),
            (report.duplicates_dropped, "duplicates dropped"),
        )
        if count
    ]
    return f"data: {splits} rows{labels}" + "".join(f"; {part}" for part in left_out)


def model_line(parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> list[str]:
    """Model, hyperparameters and hardware in one line."""
    share = 100 * parameters.trainable / max(1, parameters.total)
    threads = f"{hardware.get('threads')} thread{'' if hardware.get('threads') == '1' else 's'}"
    device = hardware["gpu"] if hardware.get("gpu", "none") != "none" else f"CPU, {threads}"
    trained = f"model: {parameters.total:,} parameters, {parameters.trainable:,} trained ({share:.3g} %)"
    if resolved.penalties:
        solved = f"training: output layer solved by L-BFGS, {resolved.penalties} strengths of the L2 penalty at most"
        return [trained, f"{solved}, up to {resolved.max_length} tokens; {device}"]
    if not resolved.epochs:
        return [
            f"model: {parameters.total:,} parameters, none trained",
            f"inputs: up to {resolved.max_length} tokens; {device}, {hardware.get('precision')}",
        ]
    values = (
        f"training: {resolved.epochs:g} epochs at most, learning rate {resolved.learning_rate:g}, "
        f"batches of {resolved.batch_size}, up to {resolved.max_length} tokens"
    )
    return [trained, f"{values}; {device}, {hardware.get('precision')}"]


def size(count: float) -> str:
    """Bytes as text: `980 bytes`, `12 MB`, `1.3 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.{1 if count < 10 * factor else 0}f} {unit}"
    return f"{count:.0f} bytes"


def resumed_line(step: int, attempt: int) -> str:
    """The checkpoint that training resumes from."""
    return f"resuming from step {step} of attempt {attempt}"


def checkpoint_line(upload: Upload) -> str:
    """A committed checkpoint."""
    return f"checkpoint step {upload.step} ({size(upload.size)}) committed"


def progress_line(progress: Progress) -> str:
    """Progress of training in one line."""
    parts = [f"step {progress.step}/{progress.total_steps} ({progress.percent:.0f} %)"]
    if progress.loss is not None:
        parts.append(f"loss {progress.loss:.4f}")
    if progress.samples_per_second is not None:
        parts.append(f"{progress.samples_per_second:.1f} rows/s")
    if progress.eta_seconds is not None:
        parts.append(f"{duration(progress.eta_seconds)} left")
    return ", ".join(parts)


def evaluation_line(step: int, metrics: dict[str, float], is_best: bool) -> str:
    """Metrics on the validation rows, the best known first."""
    known = [name for names in (*LEADING.values(), *LEADING_OF_TASK.values()) for name in names]
    shown = list(dict.fromkeys(name for name in known if name in metrics))[:_SHOWN_METRICS]
    figures = ", ".join(f"{name} {number(metrics[name])}" for name in shown)
    return f"validation at step {step}: {figures}{', best so far' if is_best else ''}"


def headline_rows(report: Report) -> list[tuple[str, float | None, float]]:
    """Name, baseline and tuned value of the most important metrics."""
    return [(one.metric.name, one.baseline, one.tuned) for one in leading_metrics(report)]


def outcome_line(report: Report) -> str:
    """Outcome of the run in one line."""
    took = duration((report.finished_at - report.started_at).total_seconds())
    if report.outcome is Outcome.GATE_FAILED:
        missed = list(dict.fromkeys(gate.metric for gate in report.evaluation.gates if not gate.passed))
        gates = f"the gate on {missed[0]} was" if len(missed) == 1 else f"the gates on {', '.join(missed)} were"
        return f"{report.outcome}: {gates} missed ({took})"
    return f"{report.outcome} in {took}"


def gate_line(gate: GateResult) -> str:
    """Result of a gate: `gate accuracy min 0.8: MISSED (0.7500)`."""
    value = number(gate.value) if gate.value is not None else "not measured"
    return f"gate {gate.metric} {gate.limit}: {'passed' if gate.passed else 'MISSED'} ({value})"


def place(uri: str) -> str:
    """A URI for people: a plain path for `file://`."""
    return unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def predict_command_line(uri: str, example: str) -> str:
    """A `predict` command with an example input."""
    given = f'"{example}"' if _PLAIN.fullmatch(example) else quote(example)
    return f"echo {given} | finetune-trainer predict {quote(place(uri))} -"


def summary_lines(report: Report, uri: str) -> list[str]:
    """Summary of a finished run as plain lines."""
    lines = [outcome_line(report)]
    for name, before, after in headline_rows(report):
        baseline = f"{number(before)} -> " if before is not None else ""
        shown = report.evaluation.few_shot.get(name)
        examples = f" (base model with examples: {number(shown)})" if shown is not None else ""
        lines.append(f"  {name} ({report.evaluated_on}): {baseline}{number(after)}{examples}")
    lines += [f"  {gate_line(gate)}" for gate in report.evaluation.gates]
    if report.evaluation.remark:
        lines.append(f"  {report.evaluation.remark}")
    if report.verdict is not None and report.failure is None:
        lines.append(f"  {report.verdict.fit}: {report.verdict.reason}")
    if report.failure is None:
        folder = place(uri)
        lines += [f"  model:  {folder}/model", f"  report: {folder}/report/index.html"]
        if not uri.startswith("pvc://"):  # which only pods can read
            lines.append(f"  try it: {predict_command_line(uri, report.example_input or 'your text')}")
    return lines
