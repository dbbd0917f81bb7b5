"""`MaskedLM`: masked language modelling on raw text."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.raw_tokens import tokenise_windows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_masked
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.masked_lm import MaskedLMLoss, mask_tokens
from finetune_trainer.training.losses.token_scores import evaluate_tokens, token_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class MaskedLM(Task):
    """Masked language modelling on one data set."""

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model."""
        return load_masked(files, tokenizer, self.spec.method.type, self.spec.training.seed, how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split; long texts make several rows."""
        texts = self.data.splits[split].texts
        return tokenise_windows(texts, self._texts(tokenizer), max_length, cache=cache, advance=advance)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], _tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: number of rows that the texts were cut into."""
        splits = {name: part.model_copy(update={"blocks": len(tokens[name])}) for name, part in report.splits.items()}
        return report.model_copy(update={"splits": splits})

    def loss(
        self, tokens: Tokens, _rows: RowSource, model: nn.Module, tokenizer: "PreTrainedTokenizerBase"
    ) -> MaskedLMLoss:
        """Cross-entropy of masked tokens, masked anew in every step."""
        mask_id, vocabulary = _ids(model, tokenizer)
        return MaskedLMLoss(tokens, mask_id, vocabulary, self.spec.training.label_smoothing)

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer`: `loss`, `tokens` and `hits` of each row [n]; the mask is fixed."""
        mask_id, vocabulary = _ids(model, context.tokenizer)
        generator = torch.Generator().manual_seed(self.spec.training.seed)
        change = partial(mask_tokens, mask_id=mask_id, vocabulary=vocabulary, generator=generator)
        return evaluate_tokens(model, rows, context.monitor, shift=False, change=change)

    def measure(self, _split: str, outputs: Outputs) -> dict[str, float]:
        """Loss, perplexity and accuracy of masked tokens."""
        return token_metrics(outputs)

    def details(self, _split: str, _outputs: Outputs, _baseline: Outputs | None) -> Details:
        """No details."""
        return Details()

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        return {"clean": keeping_white_space(self.spec.data.clean)}


def _ids(model: Any, tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """Mask token id, and number of ids for random replacement."""
    return int(tokenizer.mask_token_id), min(len(tokenizer), model.config.vocab_size)
