"""Report part on the final evaluation beyond metrics: classes, groups, samples."""

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.data_report import Place
from finetune_api.tasks import Task


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
    """The base model's prediction."""
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
    """Metrics of the base model on these rows."""


class RetentionSet(ApiModel):
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
    """What the base model got for a test row, the first of those with the most examples; shortened."""


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
    retention: RetentionSet | None = None
    """The retention set."""
    few_shot: ShownExamples | None = None
    """The examples that the base model was shown."""
    suspects: list[Sample] = Field(default_factory=list)
    """Rows whose label the model doubts, the most doubtful first (SingleLabel)."""
    suspect_rows: int = 0
    """How many there are in all."""
