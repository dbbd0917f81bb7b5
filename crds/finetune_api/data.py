"""`spec.data`: rows, columns, cleaning and splits."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Rule, SecretReference, ShortText, unset
from finetune_api.tasks import ProblemType
from finetune_api.uris import CLAIM_RULE, CONFIG_MAP_RULE

DataUri = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=r"^(hf|s3|gs|az|pvc|configmap|file)://.+$"),
]
PromptTemplate = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[\s\S]*\{prompt\}[\s\S]*$")]
ChatTemplate = Annotated[str, StringConstraints(min_length=1, max_length=16384)]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class DataFormat(StrEnum):
    """File formats; `Auto` goes by the file's ending."""

    AUTO = "Auto"
    CSV = "CSV"
    JSONL = "JSONL"
    JSON = "JSON"
    PARQUET = "Parquet"
    CONLL = "CoNLL"


class Quoting(StrEnum):
    r"""What quotes are in a CSV file.

    `Auto` is found from the file. `DoubleQuote`: fields may be enclosed in `"`, and a quote inside is doubled
    (RFC 4180). `Backslash`: the same with `\"` for a quote inside, as Spark and MySQL write. `SingleQuote`: fields may
    be enclosed in `'`. `None`: quotes are characters like any other, and each line is a row (many TSV exports).
    """

    AUTO = "Auto"
    DOUBLE_QUOTE = "DoubleQuote"
    BACKSLASH = "Backslash"
    SINGLE_QUOTE = "SingleQuote"
    NONE = "None"


class RowOrder(StrEnum):
    """In which order rows are trained on.

    `Shuffled` anew in each epoch. `EasyFirst`: the first epoch goes from easy to hard, later ones are shuffled.
    `AsGiven`: one source after another in the order of their rows, all epochs of one before the next begins.
    """

    SHUFFLED = "Shuffled"
    EASY_FIRST = "EasyFirst"
    AS_GIVEN = "AsGiven"


class NearDuplicateRule(StrEnum):
    """What happens to rows that are nearly the same when rows are split, and whether they are reported as leaks.

    `KeepTogether` puts them on one side. `Ignore` looks for exact copies only, and splits row by row.
    """

    KEEP_TOGETHER = "KeepTogether"
    IGNORE = "Ignore"


class DataSource(ApiModel):
    """One file, folder or hub data set."""

    rules = (
        Rule(
            cel=f"({unset('split')} && {unset('subset')} && {unset('revision')}) || self.uri.startsWith('hf://')",
            holds=lambda s: s.uri.startswith("hf://") or not (s.split or s.subset or s.revision),
            message="split, subset and revision apply to hf:// data sets only; remove them or use an hf:// uri",
        ),
        CLAIM_RULE,
        CONFIG_MAP_RULE,
    )

    uri: DataUri
    """Where the rows are: `s3://`, `gs://` or `az://` object, `hf://datasets/owner/name[/file]`,
    `configmap://name/key`, `pvc://claim/path`, or `file://path` (local runs; `file://./x` is relative to the
    manifest)."""

    format: DataFormat = DataFormat.AUTO
    """File format; `Auto` goes by the file's ending."""

    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Share of this source in the training rows of an epoch, relative to the other sources, whatever their sizes (for
    training rows). Given for one, it must be given for all. Left out, every row is trained on once an epoch."""

    prefix: Annotated[str, StringConstraints(max_length=256)] = ""
    """Text in front of each input of this source, as it stands: which task it is, for example `summarize: ` (Seq2Seq,
    CausalLM)."""

    split: ShortText = ""
    """Split of an `hf://` data set, for example `train`. Empty takes the split that fits the place it is named in."""

    subset: ShortText = ""
    """Subset (configuration) of an `hf://` data set."""

    revision: ShortText = ""
    """Commit, tag or branch of an `hf://` data set. Pin a commit for a run that can be repeated."""

    encoding: ShortText = "utf-8"
    """Text encoding of CSV, JSON, JSONL and CoNLL files. A byte order mark is recognised and wins."""

    delimiter: Annotated[str, StringConstraints(max_length=1)] = ""
    """Column separator of CSV files; empty means found from the header line (comma, semicolon, tab or bar)."""

    quoting: Quoting = Quoting.AUTO
    """What quotes are in a CSV file (`quotechar` and `quoting` in pandas): `Auto` finds from the file whether they
    enclose fields or belong to the text, and refuses a file where neither is clear; `DoubleQuote` (RFC 4180),
    `Backslash` (a quote inside is `\\"`), `SingleQuote`, and `None` (quotes belong to the text)."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of the store."""


class Split(ApiModel):
    """How validation and test rows are split from the training rows where no files are given for them."""

    rules = (
        Rule(
            cel="self.validation + self.test < 1.0",
            holds=lambda s: s.validation + s.test < 1,
            message="validation and test together must leave rows to train on: their sum must be below 1",
        ),
    )

    validation: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Share of rows for validation (early stopping, choice of the best state). 0 means none."""

    test: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    """Share of rows for the final test, which nothing else ever sees. 0 means none."""

    stratify: bool = True
    """Keep the share of each label, and of each source, the same in all splits."""

    group_column: ShortText = ""
    """Column whose values keep rows together (user, patient, document): rows with the same value are never on two sides
    of the split, as with scikit-learn's `GroupShuffleSplit`. A row without a value is a group of its own. CoNLL files
    have the column `document`, from their `-DOCSTART-` lines. Apart from `columns.group`, which is for metrics."""

    near_duplicates: NearDuplicateRule = NearDuplicateRule.KEEP_TOGETHER
    """`KeepTogether`: rows with nearly the same input stay on one side of the split, and are reported as leaks where
    given files hold one each. System messages and text that many rows share don't count. `Ignore`: rows are split one
    by one, and only exact copies are reported."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Seed of the split, apart from `training.seed` so that it can stay while that varies."""


class Columns(ApiModel):
    """Which column plays which role. Empty means the column that is named like the role.

    A dot leads into a cell that is an object: `translation.en`. A column that is itself called so goes first.
    """

    rules = (
        Rule(
            cel=f"!has(self.labels) || size(self.labels) == 0 || {unset('label')}",
            holds=lambda c: not (c.labels and c.label),
            message="label is one column of labels, labels are columns of zeros and ones; name one of the two",
            field="labels",
        ),
    )

    text: ShortText = ""
    """Input text (classification, raw-text tasks)."""
    text_pair: ShortText = ""
    """Second text for pair tasks such as entailment; unused when empty."""
    label: ShortText = ""
    """Class name, class number, list of classes, or number to predict."""
    labels: Annotated[list[ColumnName], Field(max_length=512)] = Field(default_factory=list)
    """Columns of zeros and ones, one for each label, in place of `label`; the labels are named like the columns. A row
    has the labels whose column holds 1 or true; with `problemType: SingleLabel`, exactly one."""
    tokens: ShortText = ""
    """List of words (token classification). In CoNLL files the number of the column, from 1, such as `"2"`, or its name
    where the file or CoNLL-U gives it one."""
    tags: ShortText = ""
    """List of tags, one per word (token classification). In CoNLL files as for `tokens`, such as `"4"` or `UPOS`."""
    context: ShortText = ""
    """Passage that holds the answer (question answering)."""
    question: ShortText = ""
    """Question about the context."""
    input: ShortText = ""
    """Source text (sequence to sequence). Text that belongs to the prompt and may be empty (CausalLM): it follows the
    prompt on a new line."""
    target: ShortText = ""
    """Text to produce (sequence to sequence)."""
    prompt: ShortText = ""
    """Prompt (instruction, preference and policy tasks): a text, or a chat's messages (preference, reward model)."""
    completion: ShortText = ""
    """Text to learn after the prompt; answer to be scored by `predict` (reward model)."""
    messages: ShortText = ""
    """Chat: a list of objects with `role` and `content` (OpenAI), or `from` and `value` (ShareGPT)."""
    system: ShortText = ""
    """System prompt, in front of a prompt or chat (instruction, preference and policy tasks). Empty means `system` or
    `system_prompt`, where rows have one."""
    history: ShortText = ""
    """Earlier exchanges in front of a prompt: a list of `[asked, answered]`. Empty means `history`, where rows have
    it."""
    tools: ShortText = ""
    """Tools that the chat template describes to the model: a list of descriptions, or JSON text of one. Empty means
    `tools` or `functions`, where rows have one."""
    chosen: ShortText = ""
    """Preferred answer (preference, reward model): a text, or messages that end with it; they may begin with the
    prompt."""
    rejected: ShortText = ""
    """Answer that lost (preference, reward model), as `chosen`."""
    group: ShortText = ""
    """Group that a row belongs to, for metrics per group."""
    difficulty: ShortText = ""
    """Number that says how hard a row is, for `order: EasyFirst`. Empty means its length in tokens."""


class Clean(ApiModel):
    """Cleaning, applied in this order to text columns before anything else looks at them."""

    strip_html: bool = False
    """Remove HTML tags and decode entities."""
    collapse_whitespace: bool | None = None
    """Turn runs of white space into one space and trim both ends. Left out, the language model tasks (CausalLM,
    MaskedLM, Preference, RewardModel, PolicyOptimization) keep white space as it is, and all others collapse it."""
    lowercase: bool = False
    """Lower-case the text. Uncased models do this themselves."""
    drop_duplicates: bool = True
    """Drop training rows whose text and label repeat an earlier row."""


class Labels(ApiModel):
    """How the label column is read."""

    problem_type: ProblemType = ProblemType.AUTO
    """`SingleLabel`, `MultiLabel` or `Regression`; `Auto` takes lists for MultiLabel, numbers with fractions for
    Regression and all else for SingleLabel."""

    names: Annotated[list[LabelName], Field(max_length=512)] = Field(default_factory=list)
    """Label names in the order of their numbers. Empty means found in the training rows. A label that is not
    listed makes its row an invalid example."""

    separator: Annotated[str, StringConstraints(max_length=4)] = ""
    """For MultiLabel: splits a text cell into labels, for example `|`. Empty means the cell is a JSON list."""

    decimal: Literal["", ".", ","] = ""
    """Decimal sign of numbers to predict that are written as text: `,` reads 1,5 and 1.234,5, `.` reads 1.5 and 1,234.5
    (`decimal` and `thousands` in pandas). Empty reads 1.5 alone, and other notations are refused."""


class Data(ApiModel):
    """Rows to train, validate and test on."""

    rules = (
        Rule(
            cel="!has(self.train) || self.train.all(s, has(s.weight)) || !self.train.exists(s, has(s.weight))",
            holds=lambda d: len({s.weight is None for s in d.train}) <= 1,
            message="some sources have a weight and some have none; give one to every source, or to none",
            field="train",
        ),
        Rule(
            cel=f"!has(self.columns) || {unset('columns.difficulty')} || self.order == 'EasyFirst'",
            holds=lambda d: not d.columns.difficulty or d.order is RowOrder.EASY_FIRST,
            message="columns.difficulty is what EasyFirst goes by; set order: EasyFirst, or remove it",
            field="order",
        ),
    )

    train: Annotated[list[DataSource], Field(max_length=16)] = Field(default_factory=list)
    """Training rows. Every job has some, but for one that merges results."""

    validation: Annotated[list[DataSource], Field(max_length=16)] = Field(default_factory=list)
    """Validation rows; empty means split from `train`."""

    test: Annotated[list[DataSource], Field(max_length=16)] = Field(default_factory=list)
    """Test rows; empty means split from `train`."""

    split: Split = Field(default_factory=Split)
    """How rows are split where no files are given."""

    columns: Columns = Field(default_factory=Columns)
    """Which column plays which role."""

    labels: Labels = Field(default_factory=Labels)
    """How the label column is read."""

    clean: Clean = Field(default_factory=Clean)
    """Cleaning of text columns."""

    max_length: Annotated[int, Field(ge=8, le=1_048_576)] | None = None
    """Longest input in tokens; longer ones are truncated and counted in the data report. Default by task,
    never above what the model can take."""

    max_target_length: Annotated[int, Field(ge=2, le=1_048_576)] | None = None
    """Longest text to learn to write, in tokens (sequence to sequence); longer ones lose their end and are counted in
    the data report. Default by task."""

    prompt_template: PromptTemplate | None = None
    """How a prompt is put to the model (CausalLM, Preference, RewardModel); `{prompt}` stands for the cell, all
    else for itself. Left out, a model with a chat template gets the prompt as a user's message, any other the prompt
    and a line break."""

    chat_template: ChatTemplate | None = None
    """Chat template in Jinja, as in `tokenizer_config.json`, in place of the model's own (CausalLM, Preference,
    RewardModel). It is saved with the tokenizer."""

    split_special_tokens: bool | None = None
    """Encode what spells one of the tokenizer's special tokens in a row (`<s>`, `<|im_end|>`, `[SEP]`) as ordinary
    text; those that a template writes and that the tokenizer puts around a text stay special. Left out, true for
    prompts and chats, whose rows may hold the markup of chats themselves with false, and false for raw text, words and
    texts with labels or targets."""

    max_rows: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Train on at most this many rows, drawn with `split.seed`; 0 means all. With weights, each source gives its share
    of them, as far as it has enough."""

    max_bad_row_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Invalid examples (unreadable, empty, without a usable label) are left out and listed by file and line. More than
    this share of them fails the job before training; 0 fails it at the first."""

    order: RowOrder = RowOrder.SHUFFLED
    """`Shuffled` each epoch; `EasyFirst` (the first epoch from short to long, or by `columns.difficulty`); or
    `AsGiven` (source after source)."""
