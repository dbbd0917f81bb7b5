"""`report/report.json`: all that a run found out, for programs; `index.html` shows the same to people."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from finetune_api.base import ApiModel
from finetune_api.manifest import Lineage
from finetune_api.merge import Combination
from finetune_api.outcome import EvaluationResult, FailureInfo, Outcome
from finetune_api.resolved import Resolved
from finetune_api.tasks import Task


class Place(ApiModel):
    """A row by where it came from."""

    file: str
    """Name of the file."""
    line: Annotated[int, Field(ge=0)]
    """Line that the row starts at (text formats), or row number (parquet, hub), counted from 1."""


class BadRow(ApiModel):
    """A row that was left out."""

    place: Place
    """Where it is."""
    reason: str
    """What is wrong with it."""


class Lengths(ApiModel):
    """How long inputs are, in tokens, special tokens included."""

    mean: float
    median: float
    p95: float
    longest: int
    truncated: int
    """Rows that are longer than the limit and lose their end."""
    limit: int
    """The limit, `maxLength`."""


class SplitReport(ApiModel):
    """One split after cleaning."""

    rows: int
    """Rows used."""
    labels: dict[str, int] = Field(default_factory=dict)
    """Rows of each label (classification), or words with each tag (tags of words)."""
    numbers: dict[str, float] = Field(default_factory=dict)
    """mean, std, min and max of the target (regression)."""
    lengths: Lengths | None = None
    """Lengths in tokens; missing where validation ran without the tokenizer."""
    blocks: int | None = None
    """Stretches of text that the rows were joined and cut into (raw text)."""
    target_lengths: Lengths | None = None
    """Lengths of the texts to be written (sequence to sequence)."""
    unseen_words: int = 0
    """Words beyond the limit, or that the tokenizer knows nothing of (tags of words)."""


class Piece(ApiModel):
    """A part of a text."""

    text: str
    """The part."""
    learned: bool
    """Whether the model learns to write it, or only reads it."""


class SourceReport(ApiModel):
    """One of several sources of training rows."""

    name: str
    """Its URI."""
    prefix: str = ""
    """What it puts in front of its inputs."""
    rows_read: int = 0
    """Rows in its files."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Rows used, by split: `train`, and what was split from it."""
    share: float = 0
    """Share of the training rows of an epoch, or with order AsGiven of the whole training, that come from it."""
    passes: float | None = None
    """How often an epoch goes through its rows."""


class DataReport(ApiModel):
    """What the data is like, before any training."""

    files: list[str]
    """Files read."""
    rows_read: int
    """Rows in the files."""
    bad_rows: int
    """Rows left out because they are broken or empty."""
    bad_row_examples: list[BadRow] = Field(default_factory=list)
    """The first of them."""
    bad_row_reasons: dict[str, int] = Field(default_factory=dict)
    """How often each reason occurred."""
    duplicates_dropped: int = 0
    """Training rows that repeated an earlier one."""
    near_duplicates: int = 0
    """Rows that are nearly the same as another one; each group of them is kept in one split."""
    leaks: int = 0
    """Rows of given validation or test files that are nearly the same as a training row."""
    leak_examples: list[tuple[Place, Place]] = Field(default_factory=list)
    """The first of them, each with its training row."""
    conflicting_labels: int = 0
    """Groups of rows with the same text and different labels."""
    splits: dict[str, SplitReport] = Field(default_factory=dict)
    """train, validation and test."""
    imbalance: float | None = None
    """Rows of the most frequent label for one of the rarest (training rows); entities, with tags of words."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to column."""
    problem_type: str = ""
    """SingleLabel, MultiLabel or Regression."""
    label_names: list[str] = Field(default_factory=list)
    """Names of the labels in the order of their numbers."""
    sample: list[Piece] = Field(default_factory=list)
    """The first training row as the model gets it, decoded from its tokens (language models)."""
    sources: list[SourceReport] = Field(default_factory=list)
    """The sources of the training rows, where there are several."""
    warnings: list[str] = Field(default_factory=list)
    """What a careful person would look at, in sentences."""


class CurvePoint(ApiModel):
    """One point of the curves."""

    step: int
    """Optimiser step."""
    epoch: float
    """Passes over the data."""
    loss: float | None = None
    """Mean training loss since the last point."""
    learning_rate: float | None = None
    """Learning rate of the step."""
    gradient_norm: float | None = None
    """Norm of the gradient before clipping."""
    validation: dict[str, float] = Field(default_factory=dict)
    """Metrics on the validation rows, where they were taken."""
    sources: dict[str, float] = Field(default_factory=dict)
    """Loss on the validation rows of each source, by its name, where rows come from several."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Further means of training since the last point (PolicyOptimization: `meanReward`, `kl`, `entropy`,
    `answerTokens`, `constantGroups`)."""


class Fit(StrEnum):
    """What the curves say."""

    GOOD = "Good"
    OVERFITTING = "Overfitting"
    UNDERFITTING = "Underfitting"
    UNCERTAIN = "Uncertain"


class Verdict(ApiModel):
    """Over- or underfitting, named from the curves."""

    fit: Fit
    """What the curves say."""
    reason: str
    """The figures that say so."""
    advice: str = ""
    """What to try."""


class ClassRow(ApiModel):
    """Figures of one class on the test rows."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """Test rows of the class."""


class TaggedPiece(ApiModel):
    """A part of a tagged text: an entity, or what lies between entities."""

    text: str
    """The words."""
    expected: str = ""
    """Type of the entity that it is, or is a part of; empty for none."""
    predicted: str = ""
    """Type of the entity that the model takes it for; empty for none."""
    right: bool = True
    """Whether the whole entity is predicted as it is: its type, its first and its last word."""
    spaced: bool = False
    """Whether there is a space before it."""


class Sample(ApiModel):
    """A test row with its prediction."""

    text: str
    """The input, shortened."""
    pair: str = ""
    """The second text of a pair task, shortened."""
    expected: str
    """Its label."""
    predicted: str
    """The prediction."""
    baseline: str = ""
    """The untouched model's prediction."""
    confidence: float | None = None
    """Probability of the prediction."""
    loss: float | None = None
    """Loss of the row; high means confidently wrong."""
    place: Place | None = None
    """Where the row came from."""
    tagged: list[TaggedPiece] = Field(default_factory=list)
    """The input with its entities (tags of words)."""


class ReliabilityBin(ApiModel):
    """One bin of the calibration curve."""

    confidence: float
    """Mean confidence in the bin."""
    accuracy: float
    """Share that was right."""
    rows: int
    """Rows in the bin."""


class GroupRow(ApiModel):
    """Figures of one group of test rows."""

    group: str
    """Value of the group column; `(none)` for an empty cell."""
    rows: int
    """Test rows of the group."""
    few: bool = False
    """Whether these are too few for a verdict: the group has no part in the gaps."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Metrics of the tuned model on these rows."""
    baseline: dict[str, float] = Field(default_factory=dict)
    """Metrics of the untouched model on these rows."""


class OldSkill(ApiModel):
    """What `retention.<metric>` was measured on."""

    task: Task
    """Task of the rows."""
    files: list[str]
    """Files read."""
    rows: int
    """Rows used."""
    bad_rows: int = 0
    """Rows left out because they are broken or empty."""


class ShownExamples(ApiModel):
    """What `evaluation.fewShot` came to."""

    wanted: int
    """Examples that were asked for."""
    fewer: int = 0
    """Test rows with fewer of them, since the model's context holds no more."""
    prompt: str = ""
    """What the untouched model got for a test row, the first of those with the most examples; shortened."""


class Details(ApiModel):
    """What goes beyond single figures."""

    confusion: list[list[int]] = Field(default_factory=list)
    """Rows by true (first index) and predicted (second index) label (SingleLabel)."""
    classes: list[ClassRow] = Field(default_factory=list)
    """Figures of each class, or of each type of entity, whose support then counts entities."""
    reliability: list[ReliabilityBin] = Field(default_factory=list)
    """Calibration curve."""
    scatter: list[tuple[float, float]] = Field(default_factory=list)
    """True and predicted value of up to 500 test rows (Regression)."""
    worst: list[Sample] = Field(default_factory=list)
    """Test rows with the highest loss."""
    samples: list[Sample] = Field(default_factory=list)
    """Test rows drawn at random."""
    groups: list[GroupRow] = Field(default_factory=list)
    """Figures of each group, the largest groups first (100 at most)."""
    more_groups: int = 0
    """Groups beyond those; they have a part in the gaps."""
    sources: list[GroupRow] = Field(default_factory=list)
    """Figures of the rows of each source, where rows come from several."""
    retention: OldSkill | None = None
    """What the old skill was measured on."""
    few_shot: ShownExamples | None = None
    """The examples that the untouched model was shown."""
    suspects: list[Sample] = Field(default_factory=list)
    """Rows whose label the model doubts, the most doubtful first (SingleLabel)."""
    suspect_rows: int = 0
    """How many there are in all."""


class Parameters(ApiModel):
    """Size of the model and of what was trained."""

    total: int
    trainable: int


class MergedSource(ApiModel):
    """A result that was merged, and what it can do alone."""

    uri: str
    """Its output folder, as the job names it."""
    job: str
    """Name of the job that made it."""
    method: str
    """How that job tuned it."""
    share: float
    """Its share of the merged model."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Its metrics on the same rows."""


class MergeReport(ApiModel):
    """What was merged, and how."""

    combination: Combination
    """How the changes became one."""
    density: float
    """Share of each source's changes that was kept."""
    scale: float
    """Factor on the merged change."""
    adapter: bool
    """Whether the result is an adapter over the base; else it is a whole model."""
    sources: list[MergedSource]
    """What was merged."""


class Report(ApiModel):
    """All that a run found out. Every part that was not reached is missing."""

    format: Literal["finetune.dev/report/v1"] = "finetune.dev/report/v1"
    job: str
    """Name of the job."""
    uid: str
    """UID of the job."""
    attempt: int = 0
    """Number of the attempt that wrote this."""
    resumed_from: int | None = None
    """Step of the checkpoint that it went on from; missing where it began anew."""
    outcome: Outcome
    """How the run ended."""
    started_at: AwareDatetime
    """When the run began."""
    finished_at: AwareDatetime
    """When it ended."""
    failure: FailureInfo | None = None
    """Why it failed."""
    spec: dict[str, Any]
    """The spec as it ran."""
    resolved: Resolved | None = None
    """Values in force where the spec left the choice to defaults."""
    data: DataReport | None = None
    """What the data is like."""
    parameters: Parameters | None = None
    """Size of the model and of what was trained."""
    evaluation: EvaluationResult = Field(default_factory=EvaluationResult)
    """What was measured on the test rows."""
    evaluated_on: str = "test"
    """The split behind `evaluation`."""
    details: Details | None = None
    """What goes beyond single figures."""
    curves: list[CurvePoint] = Field(default_factory=list)
    """Loss, learning rate and metrics over training."""
    verdict: Verdict | None = None
    """Over- or underfitting."""
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds of each phase."""
    throughput: dict[str, float] = Field(default_factory=dict)
    """samplesPerSecond, tokensPerSecond and paddingRatio of training."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that took part."""
    hardware: dict[str, str] = Field(default_factory=dict)
    """What the run ran on."""
    merge: MergeReport | None = None
    """What was merged, where the model was made of several."""
    lineage: Lineage | None = None
    """What the result was made from."""
