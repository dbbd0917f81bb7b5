"""Figures: how far a run is, and the short texts that `kubectl get` shows of it."""

from typing import Any

from finetune_api.live import Live
from finetune_api.outcome import EvaluationResult, Outcome, Progress
from finetune_api.run_file import Mode
from finetune_api.spec import Spec
from finetune_api.status import Phase, Status, Summary
from finetune_api.termination import Termination
from finetune_operator.lifecycle.context import Case, condition
from finetune_operator.lifecycle.messages import seconds_text, tidy
from finetune_operator.lifecycle.observe.checkpoints import committed
from finetune_operator.lifecycle.observe.reachability import UNREACHABLE

FIGURES = ("progress", "summary", "evaluation", "checkpoints", "resolved")
"""Fields of the status that only a trainer can fill."""
TOLD_PHASES = frozenset({Phase.VALIDATING, Phase.STARTING, Phase.TRAINING, Phase.EVALUATING, Phase.EXPORTING})
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


def told_phase(live: Live, mode: Mode) -> Phase:
    """The phase that the trainer is in, as far as it may say so."""
    if mode is Mode.VALIDATE:
        return Phase.VALIDATING
    return live.phase if live.phase in TOLD_PHASES else Phase.STARTING


def doing(live: Live, mode: Mode) -> str:
    """What the trainer is at, in words."""
    return tidy(live.doing) or _DOING[told_phase(live, mode)]


def has_moved(case: Case) -> bool:
    """Whether the trainer tells of progress that the stored status does not show.

    Rates and times left don't count: they move while everything stands still.
    """
    live, stored = case.live, case.stored
    if live is None:
        return False
    progress, told = stored.progress, live.progress or Progress()
    if progress is None or (progress.step, progress.total_steps) != (told.step, told.total_steps):
        return True
    if live.checkpoint_request not in ("", stored.checkpoint_request):
        return True
    if live.measured is not None and _measured(case.spec, live) != (stored.summary.metric if stored.summary else ""):
        return True
    shown = condition(stored, "Progressing")
    if stored.phase not in TOLD_PHASES or shown is None or shown.reason == UNREACHABLE:
        return False
    return (stored.phase, shown.message) != (told_phase(live, case.mode), doing(live, case.mode))


def figures(case: Case) -> dict[str, Any]:
    """Those fields as the trainer tells them; what it doesn't tell stays as it was."""
    live, stored = case.live, case.stored
    if live is None or not has_moved(case):
        return {name: getattr(stored, name) for name in FIGURES} | {"checkpoints": committed(case)}
    progress = (live.progress or Progress()).model_copy(update={"updated_at": case.world.now})
    best = EvaluationResult(best=live.best) if live.best is not None else None
    return {
        "progress": progress,
        "summary": _summary(progress, _measured(case.spec, live) or (stored.summary.metric if stored.summary else "")),
        "evaluation": live.evaluation or best or stored.evaluation,
        "checkpoints": committed(case, live.checkpoints),
        "resolved": live.resolved or stored.resolved,
        "checkpoint_request": live.checkpoint_request or stored.checkpoint_request,
    }


def final_figures(case: Case, said: Termination | None) -> dict[str, Any]:
    """The same once the job has ended: the last words win, and nothing is left to wait for."""
    last = figures(case)
    progress: Progress | None = last["progress"]
    steps = said.steps if said is not None else 0
    if progress is not None and steps > progress.step:
        percent = min(100.0, 100 * steps / progress.total_steps) if progress.total_steps else progress.percent
        progress = progress.model_copy(update={"step": steps, "percent": percent})
    if progress is not None:
        progress = progress.model_copy(update={"eta_seconds": None})
    evaluation = (said.evaluation if said is not None else None) or last["evaluation"]
    tested = evaluation.metrics.get(case.spec.evaluation.metric) if evaluation is not None else None
    shown: Summary = last["summary"] or Summary()
    metric = _metric_text(case.spec.evaluation.metric, tested) if tested is not None else shown.metric
    summary = _summary(progress or Progress(), metric)
    if said is not None and said.outcome in _WHOLE and progress is not None and progress.step < progress.total_steps:
        summary = summary.model_copy(update={"progress": f"early stop {progress.step}/{progress.total_steps}"})
    return {
        **last,
        "checkpoints": [] if said is not None and said.outcome in _WHOLE else last["checkpoints"],
        "progress": progress,
        "summary": summary if summary != Summary() else None,
        "evaluation": evaluation,
        "resolved": (said.resolved if said is not None else None) or last["resolved"],
    }


def without_rates(status: Status) -> dict[str, Any]:
    """Progress and summary of a job that is not running: no time is left and no rate holds."""
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
