"""Progress of a run, and short texts for `kubectl get`."""

from typing import Any

from finetune_api.live import Live
from finetune_api.outcome import EvaluationResult, Outcome, Progress
from finetune_api.run_file import Mode
from finetune_api.spec import Spec
from finetune_api.status import Phase, Status, Summary
from finetune_api.termination import Termination
from finetune_operator.lifecycle.context import ReconcileContext, condition
from finetune_operator.lifecycle.messages import seconds_text, tidy
from finetune_operator.lifecycle.observe.checkpoints import committed
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE

PROGRESS_FIELDS = ("progress", "summary", "evaluation", "checkpoints", "resolved")
"""Fields of the status that only a trainer can fill."""
REPORTED_PHASES = frozenset({Phase.VALIDATING, Phase.STARTING, Phase.TRAINING, Phase.EVALUATING, Phase.EXPORTING})
"""Phases that a trainer may claim to be in."""
_WHOLE = (Outcome.SUCCEEDED, Outcome.GATE_FAILED)
"""Outcomes of runs that trained as long as it made sense: a share of the steps would look like a job cut short."""
_SHORT = 128
_DOING = {
    Phase.VALIDATING: "checks spec, model and data",
    Phase.STARTING: "gets model and data ready",
    Phase.TRAINING: "trains",
    Phase.EVALUATING: "evaluates",
    Phase.EXPORTING: "writes the results",
}


def reported_phase(live: Live, mode: Mode) -> Phase:
    """The trainer's phase, where valid."""
    if mode is Mode.VALIDATE:
        return Phase.VALIDATING
    return live.phase if live.phase in REPORTED_PHASES else Phase.STARTING


def doing(live: Live, mode: Mode) -> str:
    """The trainer's current operation as text."""
    return tidy(live.doing) or _DOING[reported_phase(live, mode)]


def has_moved(context: ReconcileContext) -> bool:
    """Whether the trainer reports progress that the stored status lacks.

    Rates and times left don't count: they move while everything stands still.
    """
    live, stored = context.live, context.stored
    if live is None:
        return False
    progress, reported = stored.progress, live.progress or Progress()
    if progress is None or (progress.step, progress.total_steps) != (reported.step, reported.total_steps):
        return True
    if live.checkpoint_request not in ("", stored.checkpoint_request):
        return True
    if live.measured is not None and _measured(context.spec, live) != (stored.summary.metric if stored.summary else ""):
        return True
    shown = condition(stored, "Progressing")
    if stored.phase not in REPORTED_PHASES or shown is None or shown.reason == UNREACHABLE:
        return False
    return (stored.phase, shown.message) != (reported_phase(live, context.mode), doing(live, context.mode))


def progress_fields(context: ReconcileContext) -> dict[str, Any]:
    """Status fields of the reported progress; unreported ones are unchanged."""
    live, stored = context.live, context.stored
    if live is None or not has_moved(context):
        return {name: getattr(stored, name) for name in PROGRESS_FIELDS} | {"checkpoints": committed(context)}
    progress = (live.progress or Progress()).model_copy(update={"updated_at": context.now})
    best = EvaluationResult(best=live.best) if live.best is not None else None
    return {
        "progress": progress,
        "summary": _summary(
            progress, _measured(context.spec, live) or (stored.summary.metric if stored.summary else "")
        ),
        "evaluation": live.evaluation or best or stored.evaluation,
        "checkpoints": committed(context, live.checkpoints),
        "resolved": live.resolved or stored.resolved,
        "checkpoint_request": live.checkpoint_request or stored.checkpoint_request,
    }


def final_progress_fields(context: ReconcileContext, termination: Termination | None) -> dict[str, Any]:
    """The same after the end, where the termination message takes precedence."""
    last = progress_fields(context)
    progress: Progress | None = last["progress"]
    steps = termination.steps if termination is not None else 0
    if progress is not None and steps > progress.step:
        percent = min(100.0, 100 * steps / progress.total_steps) if progress.total_steps else progress.percent
        progress = progress.model_copy(update={"step": steps, "percent": percent})
    if progress is not None:
        progress = progress.model_copy(update={"eta_seconds": None})
    evaluation = (termination.evaluation if termination is not None else None) or last["evaluation"]
    tested = evaluation.metrics.get(context.spec.evaluation.metric) if evaluation is not None else None
    shown: Summary = last["summary"] or Summary()
    metric = _metric_text(context.spec.evaluation.metric, tested) if tested is not None else shown.metric
    summary = _summary(progress or Progress(), metric)
    if (
        termination is not None
        and termination.outcome in _WHOLE
        and progress is not None
        and progress.step < progress.total_steps
    ):
        summary = summary.model_copy(update={"progress": f"early stop {progress.step}/{progress.total_steps}"})
    return {
        **last,
        "checkpoints": [] if termination is not None and termination.outcome in _WHOLE else last["checkpoints"],
        "progress": progress,
        "summary": summary if summary != Summary() else None,
        "evaluation": evaluation,
        "resolved": (termination.resolved if termination is not None else None) or last["resolved"],
    }


def without_rates(status: Status) -> dict[str, Any]:
    """Progress and summary of a job that is not running, without rates and remaining time."""
    progress, summary = status.progress, status.summary
    still = {"eta_seconds": None, "tokens_per_second": None, "samples_per_second": None}
    return {
        "progress": progress.model_copy(update=still) if progress is not None else None,
        "summary": summary.model_copy(update={"eta": ""}) if summary is not None else None,
    }


def _summary(progress: Progress, metric: str) -> Summary:
    steps = f"{progress.percent:.0f}% {progress.step}/{progress.total_steps}" if progress.total_steps else ""
    return Summary(
        progress=steps[:_SHORT],
        loss=f"{progress.loss:.4g}" if progress.loss is not None else "",
        metric=metric,
        eta=seconds_text(progress.eta_seconds) if progress.eta_seconds is not None else "",
    )


def _measured(spec: Spec, live: Live) -> str:
    name = spec.evaluation.metric
    value = live.measured.metrics.get(name) if live.measured is not None else None
    return _metric_text(name, value) if value is not None else ""


def _metric_text(name: str, value: float) -> str:
    return f"{name[:100]} {value:.4g}"
