"""`RunRecord`: the values that stages of a run returned, from which report and result are built."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.exit_codes import ExitCode
from finetune_api.failures import FailureClass, JobFailure
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Lineage
from finetune_api.outcome import Artifacts, EvaluationResult, FailureInfo, Outcome
from finetune_api.report import MergeReport, Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.status import CheckpointInfo
from finetune_trainer.output.lineage import library_versions

_LONGEST_MESSAGE = 1024


class Timings:
    """Durations of named parts of a run in seconds; a failed part has the time until it failed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure the duration of the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - start, 3)


@dataclass(frozen=True)
class TrainingSummary:
    """Results of training beside the weights."""

    evaluation: EvaluationResult
    """The best step by validation rows; no metrics yet."""
    curves: list[CurvePoint]
    throughput: dict[str, float]
    verdict: Verdict


@dataclass(frozen=True)
class FinalEvaluation:
    """Evaluation of the model on the held-out rows."""

    result: EvaluationResult
    trivial_baseline: dict[str, float]
    """Metrics of the best constant prediction."""
    split: str
    details: Details
    verdict: Verdict | None = None
    """That of training, in view of the metrics."""

    @property
    def held_out(self) -> Details | None:
        """The details, unless they are of the training rows."""
        return self.details if self.split != "train" else None


@dataclass(frozen=True)
class RunRecord:
    """All values of one run so far. Stages don't see it: `run` adds what they return."""

    job: FineTuneJob
    uid: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    attempt: int = 0
    resumed_from: int | None = None
    failure: JobFailure | None = None
    resolved: Resolved | None = None
    data: DataReport | None = None
    hardware: dict[str, str] = field(default_factory=dict)
    parameters: Parameters | None = None
    lineage: Lineage | None = None
    merge: MergeReport | None = None
    training: TrainingSummary | None = None
    weights_dtype: str = ""
    evaluation: FinalEvaluation | None = None
    example_input: str = ""

    @property
    def result(self) -> EvaluationResult:
        """The evaluation, as far as there is one."""
        if self.evaluation is not None:
            return self.evaluation.result
        return self.training.evaluation if self.training else EvaluationResult()

    @property
    def outcome(self) -> Outcome:
        """Outcome of the run, as far as known."""
        if self.failure is not None:
            return Outcome.STOPPED if self.failure.failure_class is FailureClass.STOPPED else Outcome.FAILED
        passed = all(gate.passed for gate in self.result.gates)
        return Outcome.SUCCEEDED if passed else Outcome.GATE_FAILED

    def report(self, timings: Timings) -> Report:
        """The report as of now."""
        evaluation, training = self.evaluation, self.training
        return Report(
            job=self.job.metadata.name,
            uid=self.uid,
            attempt=self.attempt,
            resumed_from=self.resumed_from,
            outcome=self.outcome,
            started_at=self.started_at,
            finished_at=datetime.now(UTC),
            failure=failure_info(self.failure) if self.failure else None,
            spec=self.job.spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            resolved=self.resolved,
            data=self.data,
            parameters=self.parameters,
            weights_dtype=self.weights_dtype,
            evaluation=self.result,
            trivial_baseline=evaluation.trivial_baseline if evaluation else {},
            evaluated_on=evaluation.split if evaluation else "test",
            details=evaluation.details if evaluation else None,
            curves=training.curves if training else [],
            verdict=(evaluation.verdict if evaluation else None) or (training.verdict if training else None),
            timings=timings.seconds,
            throughput=training.throughput if training else {},
            versions=library_versions(),
            hardware=self.hardware,
            merge=self.merge,
            lineage=self.lineage,
            example_input=self.example_input,
        )


def failure_info(failure: JobFailure) -> FailureInfo:
    """A failure for status and report; further problems are counted, not listed."""
    first, others = failure.problems[0], len(failure.problems) - 1
    message = first.located
    more = f" (and {others} more)" if others else ""
    return FailureInfo(
        failure_class=failure.failure_class,
        code=failure.code,
        message=message[: _LONGEST_MESSAGE - len(more)] + more,
        hint=first.hint[:_LONGEST_MESSAGE],
    )


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run and location of its output."""

    report: Report
    artifacts: Artifacts
    failure: JobFailure | None = None
    attempt: int = 0
    """Number of the claim that the run wrote under; 0 where it got none."""
    checkpoint: CheckpointInfo | None = None
    """The newest checkpoint that is committed."""

    @property
    def exit_code(self) -> ExitCode:
        """Exit code of the process."""
        if self.failure is not None:
            return self.failure.exit_code
        return ExitCode.GATE_FAILED if self.report.outcome is Outcome.GATE_FAILED else ExitCode.DONE
