"""Data report: counts, lengths, invalid examples and warnings, before training."""

from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel


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
    every: int = 1
    """Every so many rows were measured: 1 but where `validate` looks at very large data."""


class SplitReport(ApiModel):
    """One split after cleaning."""

    rows: int
    """Rows used."""
    groups: int | None = None
    """Groups of rows that are kept together, by `split.groupColumn`."""
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
    unknown_tokens: int = 0
    """Tokens of the inputs that stand for what the tokenizer doesn't know, as BERT's `[UNK]`."""
    unknown_target_tokens: int = 0
    """The same of the texts to be written, which a model then can't write."""
    unseen_words: int = 0
    """Words beyond the limit, or that the tokenizer knows nothing of (tags of words)."""


class Vocabulary(ApiModel):
    """How well the tokenizer knows the words of the training rows' inputs."""

    words: int
    """Words that were looked at."""
    unknown: float
    """Share of words with an unknown token: the model can't tell them apart."""
    spelled: float
    """Share of words that are a token a letter, or bytes: the tokenizer was made for other languages."""
    unknown_examples: list[str] = Field(default_factory=list)
    """The most frequent unknown ones."""
    spelled_examples: list[str] = Field(default_factory=list)
    """The most frequent spelled ones."""


class Piece(ApiModel):
    """A part of a text."""

    text: str
    """The part."""
    learned: bool
    """Whether the model learns to write it, or only reads it."""


class RewrittenRow(ApiModel):
    """A row with a message whose text the chat template does not write as it is."""

    place: Place
    """Where it is."""
    what: str
    """What the template does, such as `leaves out a system message`."""


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
    near_duplicates: int | None = 0
    """Rows that are nearly the same as another one; each group of them is kept in one split. None where the job ignores
    them."""
    leaks: int = 0
    """Rows of given validation or test files that are nearly the same as a training row."""
    leak_examples: list[tuple[Place, Place]] = Field(default_factory=list)
    """The first of them, each with its training row."""
    shared_held_out: int = 0
    """Rows of given test files that are nearly the same as a row of given validation files."""
    shared_groups: int = 0
    """Values of `split.groupColumn` in given validation or test files that training rows have, too."""
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
    tag_scheme: str = ""
    """How tags of words are written in the data, such as BIO; empty for labels of texts."""
    sample: list[Piece] = Field(default_factory=list)
    """The first training row as the model gets it, decoded from its tokens (language models)."""
    vocabulary: Vocabulary | None = None
    """How well the tokenizer knows their words; missing where validation ran without the tokenizer."""
    sources: list[SourceReport] = Field(default_factory=list)
    """The sources of the training rows, where there are several."""
    unused_keys: dict[str, int] = Field(default_factory=dict)
    """Keys of messages and variables of chats that the chat template makes nothing of, with how many rows have them."""
    unused_columns: list[str] = Field(default_factory=list)
    """Columns of the training rows that the job makes nothing of."""
    rewritten_rows: dict[str, int] = Field(default_factory=dict)
    """Rows with a message whose text the chat template does not write as it is, by what it does with it: leaves it out,
    changes or moves it."""
    rewritten_row_examples: list[RewrittenRow] = Field(default_factory=list)
    """The first of them."""
    warnings: list[str] = Field(default_factory=list)
    """What a careful person would look at, in sentences."""

    @property
    def training_rows(self) -> int | None:
        """Rows to train on; None where nothing is trained."""
        return self.splits["train"].rows if "train" in self.splits else None
