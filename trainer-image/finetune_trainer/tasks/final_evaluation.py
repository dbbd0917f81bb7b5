"""Final evaluation beyond the task's metrics: groups of rows, retention set, few-shot prompts."""

from dataclasses import dataclass, field

from finetune_api.details import Details
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.tasks.few_shot import FewShot, without_examples
from finetune_trainer.tasks.groups import measure_groups
from finetune_trainer.tasks.mixed import metrics_by_source
from finetune_trainer.tasks.retention import RetentionTask, without_retention
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.inference import Outputs


@dataclass(frozen=True)
class Measured:
    """Metrics of both models, and details."""

    metrics: dict[str, float]
    baseline: dict[str, float]
    details: Details
    few_shot: dict[str, float] = field(default_factory=dict)
    """Figures of the base model with examples in the prompt."""


def measure_all(
    task: Task,
    tokens: Tokens,
    retention: RetentionTask | None,
    split: str,
    *,
    after: Outputs,
    before: Outputs | None,
    few_shot: FewShot | None = None,
) -> Measured:
    """Metrics of tuned and base model from their outputs on a split.

    Outputs on the retention set and on few-shot prompts are beside it. `tokens` are those of the split.
    """
    outputs = without_retention(after)
    baseline = without_examples(without_retention(before)) if before is not None else None
    groups = measure_groups(task, split, outputs, baseline)
    metrics = task.measure(split, outputs) | groups.gaps
    compared = task.measure(split, baseline) | groups.gaps_before if baseline is not None else {}
    details = task.details(split, outputs, baseline)
    if retention is not None:
        metrics |= retention.measure(after)
        compared |= retention.measure(before or {})
    extra = {
        "groups": groups.rows,
        "more_groups": groups.more,
        "sources": metrics_by_source(task, split, tokens, outputs, baseline),
        "retention": retention.described if retention else None,
        "few_shot": few_shot.described if few_shot else None,
    }
    with_examples = few_shot.measure(before or {}) if few_shot else {}
    return Measured(metrics, compared, details.model_copy(update=extra), with_examples)
