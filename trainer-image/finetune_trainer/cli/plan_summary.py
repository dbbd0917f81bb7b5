"""Plan of a job that passed its checks, as lines of text. Pure: values in, lines out."""

from collections.abc import Callable, Sequence

from finetune_api.data_report import DataReport, Lengths, SplitReport
from finetune_api.job import FineTuneJob
from finetune_api.resolved import Resolved
from finetune_api.spec import Spec
from finetune_api.training import Training
from finetune_trainer.evaluation.gates import limit_in_words
from finetune_trainer.plan import plan_steps

_MOST_LABELS = 20


def plan_lines(
    job: FineTuneJob, report: DataReport | None, resolved: Resolved, warnings: Sequence[str], memory: str = ""
) -> list[str]:
    """Job, data, training plan, memory, gates and warnings; without `report` as far as known."""
    spec = job.spec
    facts = [
        ("job", f"{job.metadata.name}: {spec.task} by {spec.method.type}"),
        ("model", " ".join(filter(None, [spec.model.uri, spec.model.revision]))),
        *([("data", _data(report))] if report else []),
        *([("tags", report.tag_scheme)] if report and report.tag_scheme else []),
        ("training", _training(spec, resolved, report)),
        *(
            []
            if spec.method.merge
            else [("values", _values(resolved)), *_kernels(spec, resolved), ("best", _best(spec, resolved, report))]
        ),
        *([("memory", memory)] if memory else []),
        *(("gate", f"{gate.metric} {limit_in_words(gate)}") for gate in spec.evaluation.gates),
        ("output", f"{spec.output.uri.rstrip('/')}/{job.metadata.name}/{job.metadata.uid or '<uid>'}/"),
    ]
    lines = []
    for name, text in facts:
        lines.append(f"{name:<9}{text}")
        if name == "data" and report is not None:
            lines += [f"{'':<9}{line}" for line in split_table(report)]
            lines += [*_sample(report), *_unused(report)]
    lines += [f"warning: {warning}" for warning in warnings]
    count = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    return [*lines, f"valid{count}" if report else f"valid (model and data not looked at{count})"]


def _unused(report: DataReport) -> list[str]:
    """Columns that the job does not use, and chat keys that the chat template does not render."""
    keys = ", ".join(f"{key} ({rows:,} rows)" for key, rows in report.unused_keys.items())
    columns = ", ".join(map(str, report.unused_columns[:_MOST_LABELS]))
    more = len(report.unused_columns) - _MOST_LABELS
    return [
        *([f"{'unused':<9}columns: {columns}{f' and {more} more' if more > 0 else ''}"] if columns else []),
        *([f"{'unused':<9}keys of chats that the chat template does not write: {keys}"] if keys else []),
    ]


def split_table(report: DataReport) -> list[str]:
    """Table of rows per split by label (or range of the target), and of lengths."""
    splits = report.splits.values()
    rows = [["", *report.splits], ["rows", *(f"{part.rows:,}" for part in splits)]]
    if any(part.groups is not None for part in splits):
        rows.append(["groups", *("-" if part.groups is None else f"{part.groups:,}" for part in splits)])
    above_labels = len(rows)
    rows += [
        [f"  {name[:40]}", *(f"{part.labels.get(name, 0):,}" for part in splits)]
        for name in report.label_names[:_MOST_LABELS]
    ]
    if any(part.numbers for part in splits):
        rows += [[f"  {name}", *(_figure(part, name) for part in splits)] for name in ("mean", "min", "max")]
    rows += _lengths("input", [part.lengths for part in splits])
    rows += _lengths("target", [part.target_lengths for part in splits])
    lines = aligned(rows)
    more = len(report.label_names) - _MOST_LABELS
    if more > 0:
        lines.insert(above_labels + _MOST_LABELS, f"  ... and {more} more labels")
    return lines


def _sample(report: DataReport) -> list[str]:
    """The first example as the model reads it; empty for tasks that generate no text."""
    if not report.sample:
        return []
    from finetune_trainer.data.tokenising.learned import sample_line  # which takes numpy

    return [f"{'sample':<9}{sample_line(report.sample)}"]


def _lengths(what: str, lengths: Sequence[Lengths | None]) -> list[list[str]]:
    """Table rows with input and target lengths in tokens; empty without any."""
    known = next((one for one in lengths if one is not None), None)
    if known is None:
        return []
    every = "" if known.every == 1 else f" of every {known.every}. row"
    figures: list[tuple[str, Callable[[Lengths], float]]] = [
        (f"{what} tokens{every}: median", lambda one: one.median),
        ("  95 % have up to", lambda one: one.p95),
        ("  longest", lambda one: one.longest),
        (f"  rows above {known.limit}, cut", lambda one: one.truncated),
    ]
    return [[name, *(f"{figure(one):,.0f}" if one else "-" for one in lengths)] for name, figure in figures]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Table cells aligned: the first column left, all others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def _figure(split: SplitReport, name: str) -> str:
    return f"{split.numbers[name]:.4g}" if name in split.numbers else "-"


def _data(report: DataReport) -> str:
    files = f"{len(report.files)} file{'s' if len(report.files) > 1 else ''}"
    parts = [*filter(None, [report.problem_type]), files, f"{report.rows_read:,} rows read"]
    counts = ((report.bad_rows, "left out"), (report.duplicates_dropped, "duplicates dropped"))
    return ", ".join([*parts, *(f"{count:,} {what}" for count, what in counts if count)])


def _training(spec: Spec, resolved: Resolved, report: DataReport | None) -> str:
    if spec.method.merge is not None:
        return f"none: {len(spec.method.merge.sources)} results are merged by {spec.method.merge.combination}"
    if resolved.penalties:
        return f"output layer solved by L-BFGS for {resolved.penalties} strengths of the L2 penalty at most"
    if report is None:
        limit = f"{spec.training.max_steps} steps" if spec.training.max_steps else f"{resolved.epochs:g} epochs"
        return f"{limit} at most"
    steps = plan_steps(spec, resolved, report.splits["train"].rows)
    epochs = steps.total / steps.an_epoch
    return f"{steps.total:,} steps at most: {epochs:.3g} epochs of {steps.an_epoch:,}"


def _values(resolved: Resolved) -> str:
    if resolved.penalties:
        return f"inputs of {resolved.max_length} tokens at most"
    return (
        f"learning rate {resolved.learning_rate:g}, batches of {resolved.batch_size}, "
        f"inputs of {resolved.max_length} tokens at most"
    )


def _kernels(spec: Spec, resolved: Resolved) -> list[tuple[str, str]]:
    """Optimizer, attention and packing, where the job chooses one."""
    training, usual = spec.training, Training()
    chosen = {
        "optimizer": training.optimizer if training.optimizer is not usual.optimizer else "",
        "attention": training.attn_implementation
        if training.attn_implementation is not usual.attn_implementation
        else "",
        "packing": training.packing if training.packing is not usual.packing else "",
    }
    text = ", ".join(f"{name} {value}" for name, value in chosen.items() if value)
    return [("kernels", text)] if text and not resolved.penalties else []


def _best(spec: Spec, resolved: Resolved, report: DataReport | None) -> str:
    if report is not None and "validation" not in report.splits:
        return "the last state is kept: there are no validation rows"
    every = spec.evaluation.eval_steps
    when = f"every {every} steps" if every else "for each strength" if resolved.penalties else "after each epoch"
    patience = spec.training.early_stopping.patience
    stop = (
        ""
        if patience == 0
        else f"; stops after {patience} evaluation{'s' if patience > 1 else ''} without a better one"
    )
    return f"by {spec.evaluation.metric}, measured {when}{stop}"
