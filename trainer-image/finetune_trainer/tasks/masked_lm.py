"""`MaskedLM`: raw text with tokens hidden, to be filled in."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.data.shapes.white_space import keeping_white_space
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.raw_tokens import tokenise_windows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_masked
from finetune_trainer.observer import Advance
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.masked_lm import MaskedLMLoss, mask_tokens
from finetune_trainer.training.losses.token_scores import evaluate_tokens, token_metrics

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class MaskedLM:
    """The task on one data set."""

    spec: Spec
    data: Prepared
    mask_id: int = -1
    """Id of the mask token; known once the model is loaded."""
    vocabulary: int = 0
    """Ids that a token may be changed to; known once the model is loaded."""

    @property
    def uses_only_dataset_tokens(self) -> bool:
        """See `Task.uses_only_dataset_tokens`: tokens are changed to any others."""
        return False

    def load(self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
        """Load the base model."""
        model = load_masked(files, tokenizer, self.spec.method.type, self.spec.training.seed)
        self.mask_id, self.vocabulary = int(tokenizer.mask_token_id), min(len(tokenizer), model.config.vocab_size)
        return model

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split; long texts make several rows."""
        return tokenise_windows(self.data.splits[split].texts, tokenizer, max_length, cache=cache, advance=advance)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], _tokenizer: "PreTrainedTokenizerBase"
    ) -> DataReport:
        """See `Task.describe_tokens`: into how many rows the texts were cut."""
        splits = {name: part.model_copy(update={"blocks": len(tokens[name])}) for name, part in report.splits.items()}
        return report.model_copy(update={"splits": splits})

    def loss(self, tokens: Tokens) -> MaskedLMLoss:
        """Cross entropy over tokens that are hidden anew in every step."""
        return MaskedLMLoss(tokens, self.mask_id, self.vocabulary, self.spec.training.label_smoothing)

    def infer(
        self,
        model: nn.Module,
        rows: RowSource,
        _tokenizer: "PreTrainedTokenizerBase",
        advance: Advance,
        *,
        thorough: bool,  # noqa: ARG002 -- one pass says it all
    ) -> Outputs:
        """See `Task.infer`: `loss`, `tokens` and `hits` of each row [n]; the same tokens are hidden each time."""
        generator = torch.Generator().manual_seed(self.spec.training.seed)
        change = partial(mask_tokens, mask_id=self.mask_id, vocabulary=self.vocabulary, generator=generator)
        return evaluate_tokens(model, rows, advance, shift=False, change=change)

    def measure(self, _split: str, outputs: Outputs) -> dict[str, float]:
        """Loss of the hidden tokens, perplexity, and the share that is filled in right."""
        return token_metrics(outputs)

    def details(self, _split: str, _outputs: Outputs, _baseline: Outputs | None) -> Details:
        """Nothing beyond the figures."""
        return Details()

    def prior_loss(self, _split: str) -> float | None:
        """See `Task.prior_loss`: what ignores the text says nothing here."""
        return None

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        return {"clean": keeping_white_space(self.spec.data.clean)}
