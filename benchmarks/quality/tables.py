"""Figures as tables in Markdown: methods at their defaults, learning rates beside each other, ours beside by hand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from quality.cases import CASES
from quality.runs import Run

Figures = Mapping[Run, Mapping[str, Any]]


def methods_table(figures: Figures) -> str:
    """A table for each case: what each method reached, what it trained, and what it cost."""
    return "\n\n".join(_methods_of(case, figures) for case in dict.fromkeys(run.case for run in figures))


def _methods_of(name: str, figures: Figures) -> str:
    case = CASES[name]
    head = ("Method", *(f"`{figure}`" for figure in case.figures), "Trained weights", "Seconds", "MiB")
    found = {run: measured for run, measured in figures.items() if run.case == name}
    baseline = next((measured["baseline"] for measured in found.values() if measured["baseline"]), {})
    rows = [("base model", *(_number(baseline.get(figure)) for figure in case.figures), "", "", "")]
    for run, measured in found.items():
        metrics = [_number(measured["metrics"].get(figure)) for figure in case.figures]
        cost = [f"{measured['seconds']:.0f}", f"{measured['mebibytes']}"]
        rows.append((f"`{run.method}`", *metrics, _share(measured), *cost))
    title = f"**{name}**: {case.task}, {case.rows[0]} rows{f'; {case.note}' if case.note else ''}"
    return f"{title}\n\n{_markdown(head, rows)}"


def overview_table(figures: Figures) -> str:
    """A row for each method, a column for each case: the telling figure of the case."""
    cases = list(dict.fromkeys(run.case for run in figures))
    reached = {(run.case, run.method): measured["metrics"] for run, measured in figures.items()}
    untouched = {run.case: measured["baseline"] for run, measured in figures.items()}
    telling = {case: CASES[case].figures[0] for case in cases}
    rows = [("base model", *(_number(untouched[case].get(telling[case])) for case in cases))]
    for method in dict.fromkeys(run.method for run in figures):
        cells = (_number(reached.get((case, method), {}).get(telling[case])) for case in cases)
        rows.append((f"`{method}`", *cells))
    return _markdown(("Method", *(f"{case}: `{telling[case]}`" for case in cases)), rows)


def rates_table(figures: Figures) -> str:
    """A row for each case and method that ran at several learning rates: figures at each, the default one in bold."""
    from quality.runs import run_at

    from finetune_api.tasks import MethodType

    rows = []
    for case, method in dict.fromkeys((run.case, run.method) for run in figures):
        default = run_at(case, MethodType(method)).learning_rate
        at_rates = sorted(
            ((run.learning_rate, found) for run, found in figures.items() if (run.case, run.method) == (case, method)),
            key=lambda pair: pair[0],
        )
        if len(at_rates) == 1:
            continue
        cells = [_at_rate(case, rate, found, bold=rate == default) for rate, found in at_rates]
        rows.append(
            (CASES[case].task.value, case, f"`{method}`", _pair(case, at_rates[0][1]["baseline"]), "; ".join(cells))
        )
    return _markdown(("Task", "Data", "Method", "Base model", "Learning rate: figures"), rows)


def _at_rate(case: str, rate: float, found: Mapping[str, Any], *, bold: bool) -> str:
    shown = f"**{rate:.2g}**" if bold else f"{rate:.2g}"
    return f"{shown}: {_pair(case, found['metrics'])}"


def _pair(case: str, metrics: Mapping[str, float]) -> str:
    first, second = (_number(metrics.get(figure)) for figure in CASES[case].figures[:2])
    return f"{first} ({second})"


def sides_table(pairs: Sequence[tuple[Run, Mapping[str, Any], Mapping[str, Any]]]) -> str:
    """A row for each run by this project and by hand: figures, seconds, and how much faster this project is."""
    rows = []
    for run, ours, by_hand in pairs:
        values = [_pair(run.case, side["metrics"]) for side in (ours, by_hand)]
        seconds = " / ".join(f"{side['seconds']:.0f}" for side in (ours, by_hand))
        memory = " / ".join(f"{side['mebibytes']}" for side in (ours, by_hand))
        faster = f"{by_hand['seconds'] / ours['seconds']:.1f}x"
        rows.append((run.case, f"`{run.method}`, seed {run.seed}", *values, seconds, memory, faster))
    head = ("Data", "Method", "This project", "By hand", "Seconds, ours / by hand", "MiB", "Faster by")
    return _markdown(head, rows)


def _share(measured: Mapping[str, Any]) -> str:
    if "trainable" not in measured:
        return ""
    return f"{measured['trainable']:,} ({measured['trainable'] / measured['total']:.2%})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)
