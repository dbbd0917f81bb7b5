"""What a run has found out so far; becomes the report, however the run ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.failures import FailureClass, JobFailure
from finetune_api.job import FineTuneJob
from finetune_api.manifest import Lineage
from finetune_api.outcome import Artifacts, EvaluationResult, FailureInfo, Outcome
from finetune_api.report import MergeReport, Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.status import CheckpointInfo
from finetune_trainer.output.lineage import library_versions

_LONGEST_MESSAGE = 1024


class Notes:
    """Facts about one run, gathered on the way."""

    def __init__(self, job: FineTuneJob, uid: str) -> None:
        self.job, self.uid = job, uid
        self.started_at = datetime.now(UTC)
        self.failure: JobFailure | None = None
        self.resolved: Resolved | None = None
        self.data: DataReport | None = None
        self.parameters: Parameters | None = None
        self.weights_dtype = ""
        self.evaluation = EvaluationResult()
        self.trivial: dict[str, float] = {}
        self.evaluated_on = "test"
        self.details: Details | None = None
        self.curves: list[CurvePoint] = []
        self.verdict: Verdict | None = None
        self.timings: dict[str, float] = {}
        self.throughput: dict[str, float] = {}
        self.hardware: dict[str, str] = {}
        self.lineage: Lineage | None = None
        self.merge: MergeReport | None = None
        self.example_input = ""
        self.artifacts = Artifacts()
        self.attempt = 0
        self.resumed_from: int | None = None
        self.step = 0
        self.checkpoint: CheckpointInfo | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the seconds that the block takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(time.monotonic() - start, 3)

    @property
    def outcome(self) -> Outcome:
        """How the run ends, as far as it is known."""
        if self.failure is not None:
            return Outcome.STOPPED if self.failure.failure_class is FailureClass.STOPPED else Outcome.FAILED
        passed = all(gate.passed for gate in self.evaluation.gates)
        return Outcome.SUCCEEDED if passed else Outcome.GATE_FAILED

    def report(self) -> Report:
        """The report as of now."""
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
            evaluation=self.evaluation,
            trivial=self.trivial,
            evaluated_on=self.evaluated_on,
            details=self.details,
            curves=self.curves,
            verdict=self.verdict,
            timings=self.timings,
            throughput=self.throughput,
            versions=library_versions(),
            hardware=self.hardware,
            merge=self.merge,
            lineage=self.lineage,
            example_input=self.example_input,
        )


def failure_info(failure: JobFailure) -> FailureInfo:
    """A failure as status and report show it; further problems are counted, not listed."""
    first, others = failure.problems[0], len(failure.problems) - 1
    message = first.located
    more = f" (and {others} more)" if others else ""
    return FailureInfo(
        failure_class=failure.failure_class,
        code=failure.code,
        message=message[: _LONGEST_MESSAGE - len(more)] + more,
        hint=first.hint[:_LONGEST_MESSAGE],
    )
