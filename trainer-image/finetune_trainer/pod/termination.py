"""Termination message and exit code of the container."""

import sys
from pathlib import Path

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import JobFailure
from finetune_api.live import Live
from finetune_api.outcome import Artifacts, EvaluationResult, Outcome
from finetune_api.report import Report
from finetune_api.termination import Termination
from finetune_trainer.pod.progress import data_sentence
from finetune_trainer.pod.watchdog import Position
from finetune_trainer.run_record import RunResult, failure_info


def termination_of(result: RunResult, live: Live) -> Termination:
    """The message of a run with a report."""
    report = result.report
    measured = report.evaluation if report.evaluation != EvaluationResult() else None
    return Termination(
        uid=report.uid,
        attempt=result.attempt,
        outcome=report.outcome,
        failure=failure_info(result.failure) if result.failure else None,
        steps=_steps(report, live),
        resumed_from=report.resumed_from,
        checkpoint=result.checkpoint,
        evaluation=measured,
        artifacts=result.artifacts,
        resolved=report.resolved,
        data=data_sentence(report.data) if report.data else "",
    )


def termination_without_run(failure: JobFailure, uid: str) -> Termination:
    """The message where no run could start."""
    outcome = Outcome.STOPPED if failure.exit_code is ExitCode.INTERRUPTED else Outcome.FAILED
    return Termination(uid=uid, outcome=outcome, failure=failure_info(failure), artifacts=Artifacts())


def termination_at(position: Position, failure: JobFailure, uid: str) -> Termination:
    """The message of a run that can't speak for itself, with the position that it had reached."""
    reached = {"attempt": position.attempt, "steps": position.step, "resumed_from": position.resumed_from}
    return termination_without_run(failure, uid).model_copy(update=reached)


def write_termination(message: Termination, file: Path) -> None:
    """Write the termination message for the kubelet. A failed write does not change the exit code."""
    try:
        file.write_text(message.encode(), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"warning: {file} can't be written: {error.strerror}\n")


def _steps(report: Report, live: Live) -> int:
    if live.progress is not None:
        return live.progress.step
    return max((point.step for point in report.curves), default=0)
