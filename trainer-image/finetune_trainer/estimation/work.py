"""`Work`: steps and tokens of a training, and the time at a measured rate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finetune_api.failures import SpecInvalid
from finetune_api.report import Report
from finetune_api.resolved import Resolved
from finetune_trainer.plan import plan_steps
from finetune_trainer.stages.checking import SampledTokens

_HINT = "name the output folder of a finished run, or leave --rate out"


@dataclass(frozen=True)
class Work:
    """What a training does if it does not stop early."""

    steps: int
    tokens: int
    """Tokens of the rows of all steps, padding left out."""
    rate: float | None = None
    """Tokens per second; None where none was measured."""

    @property
    def seconds(self) -> float | None:
        """Time of the training steps, evaluations left out."""
        return None if self.rate is None else self.tokens / self.rate

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"steps": self.steps, "tokens": self.tokens, "tokensPerSecond": self.rate, "seconds": self.seconds}


def work_of(sampled: SampledTokens, resolved: Resolved) -> Work | None:
    """Steps and tokens of a job's training, by its data."""
    rows = sampled.task.data.report.training_rows
    tokens = sampled.tokens.get("train")
    if tokens is None or not rows:
        return None
    blocks = len(tokens) // tokens.texts_a_row
    steps = plan_steps(sampled.task.spec, resolved, blocks * sampled.every)
    outputs = 0 if tokens.outputs is None else len(tokens.outputs.ids)
    mean = (len(tokens.ids) + outputs) / max(1, blocks)
    return Work(steps.total, round(mean * steps.rows(resolved.batch_size)))


def measured_rate(given: str) -> float:
    """Tokens per second, from a number or from the report of a run in a folder.

    Raises `SpecInvalid` for what is neither.
    """
    try:
        rate = float(given)
    except ValueError:
        return _of_run(Path(given))
    if not 0 < rate < float("inf"):
        raise SpecInvalid(f"{given} is no rate", where="--rate", hint="give tokens per second, above 0")
    return rate


def _of_run(folder: Path) -> float:
    file = folder / "report" / "report.json"
    try:
        report = Report.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise SpecInvalid(f"{folder} has no report of a run ({file.name})", where="--rate", hint=_HINT) from error
    rate = report.throughput.get("tokensPerSecond", 0.0)
    if rate <= 0:
        raise SpecInvalid(f"the run in {folder} measured no tokens per second", where="--rate", hint=_HINT)
    return rate
