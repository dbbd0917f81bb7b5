"""`Task`, the abstract base class of tasks: tokenisation, loss, inference and metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from torch import nn

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.outcome import Best
from finetune_api.spec import Spec
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Advance, Monitor
from finetune_trainer.storage import Site
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.base import Loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class InferenceContext:
    """Arguments of `Task.infer` beside model and rows."""

    tokenizer: "PreTrainedTokenizerBase"
    generate: bool = True
    """Whether texts are generated even where `evaluation.metric` needs none, as before and after training."""
    monitor: Monitor = field(default_factory=Monitor)


@dataclass(frozen=True)
class ReferenceInputs:
    """Inputs of reference outputs by split, retention split included."""

    tokens: Mapping[str, Tokens]
    rows: Mapping[str, RowSource]
    weights: str
    """Names weights, device and precision; outputs that follow from these and the tokens may be cached."""
    cache: Path


@dataclass(frozen=True)
class Task(ABC):
    """One task on one data set, an immutable value.

    A split is `train`, `validation`, `test` or the retention split.
    """

    spec: Spec
    """What the job asks for."""
    data: Prepared
    """The rows."""

    uses_only_dataset_tokens: ClassVar[bool] = False
    """Whether the model never meets tokens that are not in the rows, as it does when it generates text."""

    @abstractmethod
    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model in the class of the task, as `how` says.

        Raises `ModelUnsuitable` where that can't be, `UnsafeModel` for code of its own.
        """

    @abstractmethod
    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split, with token labels where the task has them."""

    def with_tokens(
        self,
        tokens: Mapping[str, Tokens],  # noqa: ARG002 -- of tasks that need nothing of them
        tokenizer: "PreTrainedTokenizerBase",  # noqa: ARG002 -- as above
        max_length: int,  # noqa: ARG002 -- as above
    ) -> Self:
        """The task with the token statistics that its metrics need."""
        return self

    @abstractmethod
    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> DataReport:
        """The data report with token statistics of all splits: truncation, a sample, more warnings."""

    @abstractmethod
    def loss(self, tokens: Tokens, rows: RowSource, model: nn.Module, tokenizer: "PreTrainedTokenizerBase") -> Loss:
        """The training loss of `model`, with the tokens of the training rows."""

    @abstractmethod
    def infer(self, model: nn.Module, split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """Outputs of the model on the rows of `split`, in order; restores the model's training mode."""

    @abstractmethod
    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Metrics by name from the outputs; undefined ones are left out."""

    @abstractmethod
    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """Details beyond metrics, from outputs with generated texts."""

    def prior_loss(self, split: str) -> float | None:  # noqa: ARG002 -- of tasks that have none
        """Loss of the best constant prediction; None where undefined, as for generated text."""
        return None

    def trivial_metrics(self, split: str, outputs: Outputs) -> dict[str, float]:  # noqa: ARG002 -- as above
        """Metrics of the best constant prediction by the training rows; `outputs` are those of a model on these rows.

        Empty where no single answer is one, as for generated text.
        """
        return {}

    def constant_answer(self, split: str, outputs: Outputs) -> str:  # noqa: ARG002 -- as above
        """The single prediction of a model for all rows although references differ; else empty."""
        return ""

    @property
    def own_settings(self) -> dict[str, Any]:
        """Fields of `InferenceSettings` specific to the task, in addition to or instead of the job's."""
        return {}

    def _texts(self, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
        """The tokenizer for texts of rows that no prompt format writes."""
        return text_tokenizer(tokenizer, split=self.spec.data.split_special_tokens)

    def _rows(self, split: str) -> Examples:
        return self.data.splits[split]


@runtime_checkable
class NeedsReference(Protocol):
    """A task that compares the trained model with the base model."""

    @property
    def needs_reference(self) -> bool:
        """Whether this job needs it."""

    def with_reference(self, model: nn.Module, inputs: ReferenceInputs, monitor: Monitor) -> Self:
        """The task with the reference outputs of `model`, before training or resumption."""


@runtime_checkable
class NeedsRewardModel(Protocol):
    """A task that may need a reward model."""

    def with_reward_model(self, site: Site) -> Self:
        """The task with its reward model, loaded before the base model. Raises the failures of loading it."""


@runtime_checkable
class OnPolicyTask(Protocol):
    """A task that trains on texts generated by the model itself; its rows are prompts."""

    @property
    def passes(self) -> int:
        """Updates per generated batch."""

    def training_rows(self, rows: RowSource) -> RowSource:
        """Training rows with lengths that include generated texts."""

    def verdict(self, curves: Sequence[CurvePoint], best: Best | None) -> Verdict:
        """Fit diagnosis; losses of different texts in every step are not comparable."""
