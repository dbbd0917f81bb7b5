"""The interface of all tasks: what is special about one, between its rows and its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.outcome import Best
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.observer import Advance
from finetune_trainer.storage import Site
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.base import Loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Task(Protocol):
    """One task on one data set, as a dataclass. A split is `train`, `validation` or `test`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def spec(self) -> Spec:
        """What the job asks for."""

    @property
    def data(self) -> Prepared:
        """The rows."""

    @property
    def uses_only_dataset_tokens(self) -> bool:
        """Whether the model never meets tokens that are not in the rows, as it does when it writes text."""

    def load(self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
        """Load the base model in the class that fits the task, in FP32.

        Raises `ModelUnsuitable` where that can't be, `UnsafeModel` for code of its own.
        """

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split, with labels of tokens where the task has them."""

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase"
    ) -> DataReport:
        """The data report with what only the tokens of all splits tell: what was cut, a sample, more warnings."""

    def loss(self, tokens: Tokens) -> Loss:
        """The loss over the training rows, whose tokens these are."""

    def infer(
        self,
        model: nn.Module,
        rows: RowSource,
        tokenizer: "PreTrainedTokenizerBase",
        advance: Advance,
        *,
        thorough: bool,
    ) -> Outputs:
        """What the model says of rows, in their order; leaves the model in the mode that it was in.

        Only a `thorough` look may take long, as writing texts does: it is taken before and after training. What
        `evaluation.metric` needs is there in any case.
        """

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """All metrics that follow from the outputs, by the names of the catalogue; those that don't are left out."""

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """What goes beyond single figures, from thorough outputs."""

    def prior_loss(self, split: str) -> float | None:
        """Loss of the best answer that ignores the input; None where that says nothing."""

    @property
    def own_settings(self) -> dict[str, Any]:
        """Fields of `InferenceSettings` that this task has beside those that the job says, or in their place."""


@runtime_checkable
class NeedsReference(Protocol):
    """A task that compares the model with what it was before training."""

    @property
    def needs_reference(self) -> bool:
        """Whether this job asks for that."""

    def remember_base(
        self, model: nn.Module, rows: Mapping[str, RowSource], weights: str, cache: Path, advance: Advance
    ) -> None:
        """Take from the model as it came what is needed of it later; called before it is trained or restored.

        `rows` are those of each split, and of the old skill where that is of the same task; later it is asked for these
        very objects (see `split_of`).
        `weights` says what it computes with; what follows from that and the rows alone may be kept below `cache`.
        """


@runtime_checkable
class HasTrivialAnswer(Protocol):
    """A task with answers that ignore the input, which a model has to beat."""

    def trivial_metrics(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Metrics of the best constant answer by the training rows; `outputs` are those of a model on these rows.

        Empty where no single answer is one, as for texts.
        """

    def constant_answer(self, split: str, outputs: Outputs) -> str:
        """What a model answers to every row, although different answers are expected; else nothing."""


@runtime_checkable
class NeedsRewardModel(Protocol):
    """A task that needs more than its rows and the model that it trains."""

    def equip(self, site: Site) -> None:
        """Fetch and load it; called before the model is loaded. Raises the failures of that."""


@runtime_checkable
class OnPolicyTask(Protocol):
    """A task whose rows are prompts: what the model learns from, it writes itself while it is trained."""

    @property
    def passes(self) -> int:
        """Updates with the texts of a step."""

    def training_rows(self, rows: RowSource) -> RowSource:
        """The rows to train on, as long as they are once their texts are written."""

    def verdict(self, curves: Sequence[CurvePoint], best: Best | None) -> Verdict:
        """What the curves say; the loss, of other texts in every step, says little."""


def split_of(rows: RowSource, known: Mapping[str, RowSource]) -> str:
    """The name under which a task has seen `rows` before. Raises `KeyError` for others."""
    for split, source in known.items():
        if source is rows:
            return split
    raise KeyError(sorted(known))
