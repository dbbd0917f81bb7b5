"""How a run ended."""

from dataclasses import dataclass

from finetune_api.exit_codes import ExitCode
from finetune_api.failures import JobFailure
from finetune_api.outcome import Artifacts, Outcome
from finetune_api.report import Report
from finetune_api.status import CheckpointInfo


@dataclass(frozen=True)
class RunResult:
    """How a run ended and where its output is."""

    report: Report
    artifacts: Artifacts
    failure: JobFailure | None = None
    attempt: int = 0
    """Number of the claim that the run wrote under; 0 where it got none."""
    checkpoint: CheckpointInfo | None = None
    """The newest checkpoint that is committed."""

    @property
    def exit_code(self) -> ExitCode:
        """What the process ends with."""
        if self.failure is not None:
            return self.failure.exit_code
        return ExitCode.GATE_FAILED if self.report.outcome is Outcome.GATE_FAILED else ExitCode.DONE
