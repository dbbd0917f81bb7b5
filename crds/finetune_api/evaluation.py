"""`spec.evaluation`: metrics, choice of the best state, and gates."""

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
    `retention.<metric>` on the retention set, and `gap.<metric>`, the disparity between groups."""

    min: Bound | None = None
    """Lowest value that passes."""

    max: Bound | None = None
    """Highest value that passes."""

    max_regression: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """Largest regression against the base model."""

    min_improvement: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """Smallest improvement over the base model; or over the best constant prediction (the most frequent class or tag,
    the mean) where that is better."""


class Retention(ApiModel):
    """Retention set: skills that must not be forgotten, on base and fine-tuned model: metrics `retention.<name>`."""

    data: Annotated[list[DataSource], Field(max_length=16)] = Field(default_factory=list)
    """Examples of the retention set. They are not trained on."""

    task: Task | None = None
    """Task of those examples; left out it is the job's own. Classifiers can be asked for MaskedLM or CausalLM,
    whichever the base model was made for: its language model head is put on the fine-tuned body. Preference and
    PolicyOptimization can be asked for CausalLM."""

    columns: Columns | None = None
    """Which column plays which role in those rows; left out it is as in `data.columns`, or for another task the column
    that is named like the role."""


class Generation(ApiModel):
    """How text is generated for evaluation and prediction."""

    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] = 128
    """Longest answer in tokens (`max_new_tokens`)."""

    num_beams: Annotated[int, Field(ge=1, le=64)] = 1
    """Beams of the beam search (`num_beams`); 1 is greedy decoding."""

    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=64)] = 0
    """No n-gram of this many tokens occurs twice (`no_repeat_ngram_size`); 0 means no such limit."""

    answer_after: ShortText = ""
    """Answer delimiter: only what follows its last occurrence is compared, for example `####` where a worked answer
    ends in `#### 42`. Empty compares the whole text."""

    early_stopping: bool = True
    """Stop the beam search when enough beams are finished; false needs `numBeams` above 1."""


class FewShot(ApiModel):
    """Few-shot baseline: the base model with examples in the prompt, on the same test examples."""

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
            message="examples are compared with the base model; set baseline: true, or remove them",
        ),
    )

    metric: MetricName = "evalLoss"
    """Metric of early stopping and of the best checkpoint (`metric_for_best_model`). Its direction is known."""

    baseline: bool = True
    """Evaluate the base model too."""

    few_shot: FewShot = Field(default_factory=FewShot)
    """The base model with examples in the prompt, for comparison."""

    gates: Annotated[list[Gate], Field(max_length=32)] = Field(default_factory=list)
    """Thresholds on metrics; one that is missed makes the job GateFailed."""

    retention: Retention = Field(default_factory=Retention)
    """Skills that must not be forgotten."""

    group_column: ShortText = ""
    """Column whose values split the test examples into groups, each with its own metrics; the same as
    `data.columns.group`. Gates on `gap.<metric>` bound the largest difference between groups."""

    generation: Generation = Field(default_factory=Generation)
    """How text is generated."""

    eval_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Steps between two evaluations on the validation examples (`eval_steps`); 0 means after each epoch. Needs
    validation examples."""
