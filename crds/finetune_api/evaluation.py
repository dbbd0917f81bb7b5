"""`spec.evaluation`: what is measured, what counts as best, and which figures the result must reach."""

from typing import Annotated

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Rule, ShortText
from finetune_api.data import Columns, DataSource
from finetune_api.tasks import Task

MetricName = Annotated[str, StringConstraints(max_length=320, pattern=r"^[a-z][A-Za-z0-9]*(\..+)?$")]
Bound = Annotated[float, Field(ge=-1e12, le=1e12)]


def _has_a_limit(gate: "Gate") -> bool:
    limits = (gate.min, gate.max, gate.max_regression, gate.min_improvement)
    return any(limit is not None for limit in limits)


class Gate(ApiModel):
    """A figure that the tuned model must reach on the test rows. Compared with the baseline, better is positive."""

    rules = (
        Rule(
            cel="has(self.min) || has(self.max) || has(self.maxRegression) || has(self.minImprovement)",
            holds=_has_a_limit,
            message="a gate needs a limit: set min, max, maxRegression or minImprovement",
        ),
        Rule(
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
            holds=lambda g: g.min is None or g.max is None or g.min <= g.max,
            field="min",
            message="min must not be above max",
        ),
    )

    metric: MetricName
    """Name of a metric of the task, for example `accuracy`, or of one class: `recall.billing`. Also
    `retention.<metric>` on rows of an old skill, and `gap.<metric>` between groups of rows."""

    min: Bound | None = None
    """Lowest value that passes."""

    max: Bound | None = None
    """Highest value that passes."""

    max_regression: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """Furthest the value may be worse than the baseline's."""

    min_improvement: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """Least the value must be better than the base model's; where the best answer that ignores the input is better than
    that (the most frequent class or tag, the mean), it takes its place."""


class Retention(ApiModel):
    """Old skills that must not be forgotten, measured before and after; their metrics are named `retention.<name>`."""

    data: Annotated[list[DataSource], Field(max_length=16)] = Field(default_factory=list)
    """Rows of the old skill. Nothing is trained on them."""

    task: Task | None = None
    """Task of those rows; left out it is the job's own. Classifiers can be asked for MaskedLM or CausalLM, whichever
    the base was made for: the base's language head is put on the tuned body. Preference and PolicyOptimization can be
    asked for CausalLM."""

    columns: Columns | None = None
    """Which column plays which role in those rows; left out it is as in `data.columns`, or for another task the column
    that is named like the role."""


class Generation(ApiModel):
    """How text is generated for evaluation and prediction."""

    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] = 128
    """Longest answer in tokens."""

    num_beams: Annotated[int, Field(ge=1, le=64)] = 1
    """Beams of the beam search; 1 is greedy."""

    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=64)] = 0
    """No sequence of this many tokens occurs twice; 0 means no such limit."""

    answer_after: ShortText = ""
    """Compare only what follows the last place of this text, for example `####` where a worked answer ends in
    `#### 42`. Empty compares the whole text."""

    early_stopping: bool = True
    """Stop the beam search when enough beams are finished; false needs `numBeams` above 1."""


class FewShot(ApiModel):
    """Examples in the prompt instead of tuning: what the untouched model does with them on the same test rows."""

    examples: Annotated[int, Field(ge=0, le=32)] = 0
    """Training rows in front of each test row, with their answers; 0 means that none are tried. They are drawn by
    `training.seed`, of the row's own source where there are several; a row shows as many as the model's context
    holds. For Seq2Seq, and for CausalLM with prompts or chats."""


class Evaluation(ApiModel):
    """What is measured and what must be reached."""

    rules = (
        Rule(
            cel="!has(self.fewShot) || self.fewShot.examples == 0 || self.baseline",
            holds=lambda e: e.few_shot.examples == 0 or e.baseline,
            field="fewShot.examples",
            message="examples are compared with the untouched model; set baseline: true, or remove them",
        ),
    )

    metric: MetricName = "evalLoss"
    """What "best" means for early stopping and for the state that is kept. The direction is known by the metric."""

    baseline: bool = True
    """Score the untouched model too."""

    few_shot: FewShot = Field(default_factory=FewShot)
    """Whether tuning was worth it: the untouched model with examples in the prompt."""

    gates: Annotated[list[Gate], Field(max_length=32)] = Field(default_factory=list)
    """Figures to reach; one that is missed makes the job GateFailed."""

    retention: Retention = Field(default_factory=Retention)
    """Old skills that must not be forgotten."""

    group_column: ShortText = ""
    """Column whose values split the test rows into groups, each with its own metrics; `data.columns.group` says the
    same. Gates on `gap.<metric>` bound the largest difference between groups."""

    generation: Generation = Field(default_factory=Generation)
    """How text is generated."""

    every_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Evaluate on the validation rows every this many steps; 0 means after each epoch. Needs validation rows."""
