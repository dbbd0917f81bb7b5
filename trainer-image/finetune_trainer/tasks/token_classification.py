"""`TokenClassification`: a tag per word, as for named entities and parts of speech."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import nn

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Examples
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.data.tokenising.word_tokens import seen_words, tokenise_words, word_tokenizer
from finetune_trainer.evaluation.scores import prior_loss
from finetune_trainer.evaluation.tagged import TaggedRows, Tags, describe_tagged, predicted_tags
from finetune_trainer.evaluation.trivial_answers import constant_answer_of, most_frequent
from finetune_trainer.models.classifier import load_tagger
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.losses.tags import COUNTED, LOSS, TAGS, predict_tags

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenClassification(Task):
    """Token classification on one data set."""

    seen: Mapping[tuple[str, ...], NDArray[np.int64]] = field(default_factory=dict)
    """For rows of which the model does not see all words: which it sees, by the words of the row; see `with_tokens`."""

    uses_only_dataset_tokens = True

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model with a head for these tags."""
        return load_tagger(files, tokenizer, self.data.labels.names, self.spec.training.seed, how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split; the first token of each word has its tag id as label."""
        rows, number = self.data.splits[split], {name: at for at, name in enumerate(self.data.labels.names)}
        tags = [[number[tag] for tag in label] for label in rows.labels if isinstance(label, tuple)]
        words = word_tokenizer(self._texts(tokenizer), max_length)
        return tokenise_words(rows.words, tags, words, cache=cache, advance=advance)

    def with_tokens(
        self, tokens: Mapping[str, Tokens], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> "TokenClassification":
        """See `Task.with_tokens`: the words of truncated rows that the model sees."""
        words, seen = word_tokenizer(self._texts(tokenizer), max_length), dict(self.seen)
        for split, part in tokens.items():
            rows = self._rows(split).words
            seen |= {rows[row]: places for row, places in seen_words(part, rows, words).items()}
        return replace(self, seen=seen)

    def describe_tokens(
        self, report: DataReport, _tokens: dict[str, Tokens], _tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: number of truncated words."""
        splits = {
            name: split.model_copy(update={"unseen_words": self._unseen(name)}) for name, split in report.splits.items()
        }
        unseen = {name: split.unseen_words for name, split in splits.items() if split.unseen_words}
        warnings = list(report.warnings)
        if unseen:
            counts = ", ".join(f"{count:,} in {name}" for name, count in unseen.items())
            warnings.append(
                f"Some words are never seen by the model: {counts}. They are beyond data.maxLength, or the tokenizer"
                " knows nothing in them; in the metrics they count as words without an entity."
            )
        return report.model_copy(update={"splits": splits, "warnings": warnings})

    def loss(
        self, tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> TokenLoss:
        """Cross-entropy at first tokens of words."""
        return TokenLoss(tokens.counted, shift=False, label_smoothing=self.spec.training.label_smoothing)

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer` and `predict_tags`."""
        return predict_tags(model, rows, context.monitor)

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Loss, word and entity metrics, and those of single types that the job names."""
        loss = float(outputs[LOSS].sum(dtype=np.float64) / max(1, outputs[COUNTED].sum()))
        if not isfinite(loss):
            return {}
        return {"evalLoss": loss} | self._tagged(split, outputs).metrics(self._named_metrics())

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """Metrics per type, the worst sentences, and samples, with entities marked in the text."""
        before: Sequence[Tags] = self._tagged(split, baseline).predicted if baseline else []
        tagged, names = self._tagged(split, outputs), self.data.labels.names
        return describe_tagged(tagged, outputs[LOSS].astype(np.float64), before, names, self.spec.training.seed)

    def prior_loss(self, split: str) -> float | None:
        """Loss of the best constant prediction: the share of each tag."""
        number = {name: at for at, name in enumerate(self.data.labels.names)}
        targets = [number[tag] for tags in _tags_of(self.data.splits[split]) for tag in tags]
        return prior_loss(np.asarray(targets), ProblemType.SINGLE_LABEL)

    def trivial_metrics(self, split: str, _outputs: Outputs) -> dict[str, float]:
        """See `Task.trivial_metrics`: those of the most frequent tag on every word, mostly `O`."""
        if "train" not in self.data.splits:
            return {}
        tag = most_frequent(_tags_of(self.data.splits["train"]))
        rows = self.data.splits[split]
        return TaggedRows(rows, [(tag,) * len(tags) for tags in _tags_of(rows)]).metrics(self._named_metrics())

    def constant_answer(self, split: str, outputs: Outputs) -> str:
        """See `Task.constant_answer`: one tag on every word."""
        tagged = self._tagged(split, outputs)
        return constant_answer_of(
            *([tag for row in rows for tag in row] for rows in (tagged.predicted, tagged.expected))
        )

    def _named_metrics(self) -> list[str]:
        return [self.spec.evaluation.metric, *(gate.metric for gate in self.spec.evaluation.gates)]

    def _tagged(self, split: str, outputs: Outputs) -> TaggedRows:
        rows = self.data.splits[split]
        seen = {row: self.seen[words] for row, words in enumerate(rows.words) if words in self.seen}
        return TaggedRows(rows, predicted_tags(outputs[TAGS], rows, seen, self.data.labels.names))

    def _unseen(self, split: str) -> int:
        rows = self.data.splits[split].words
        return sum(len(words) - len(self.seen[words]) for words in rows if words in self.seen)


def _tags_of(rows: Examples) -> list[Tags]:
    """Expected tags by row."""
    return [label for label in rows.labels if isinstance(label, tuple)]
