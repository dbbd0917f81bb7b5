"""What the final evaluation tells beside the figures of the task: groups of rows, and an old skill."""

from dataclasses import dataclass

from finetune_api.report import Details
from finetune_trainer.data.tokens import Tokens
from finetune_trainer.tasks.groups import measure_groups
from finetune_trainer.tasks.mixed import figures_by_source
from finetune_trainer.tasks.retention import Skill, without_skill
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.inference import Outputs


@dataclass(frozen=True)
class Measured:
    """All figures of both models, and what goes beyond figures."""

    metrics: dict[str, float]
    baseline: dict[str, float]
    details: Details


def measure_all(
    task: Task, tokens: Tokens, skill: Skill | None, split: str, *, after: Outputs, before: Outputs | None
) -> Measured:
    """Measure the tuned model and the untouched one from what they said of a split, and of the old skill beside it.

    `tokens` are those of the split.
    """
    outputs, baseline = without_skill(after), without_skill(before) if before is not None else None
    groups = measure_groups(task, split, outputs, baseline)
    metrics = task.measure(split, outputs) | groups.gaps
    compared = task.measure(split, baseline) | groups.gaps_before if baseline is not None else {}
    details = task.details(split, outputs, baseline)
    if skill is not None:
        metrics |= skill.measure(after)
        compared |= skill.measure(before or {})
    extra = {
        "groups": groups.rows,
        "more_groups": groups.more,
        "sources": figures_by_source(task, split, tokens, outputs, baseline),
        "retention": skill.described if skill else None,
    }
    return Measured(metrics, compared, details.model_copy(update=extra))
