"""`RewardModel`: a scoring model trained on preference pairs."""

from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from finetune_api.data import Columns
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.tasks import ProblemType
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.tokenising.answer_findings import describe_pairs
from finetune_trainer.data.tokenising.answer_tokens import tokenise_pairs
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.job_prompts import form_of
from finetune_trainer.data.tokenising.learned import training_tokens
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.preference_details import ScoredPairs, sampled_rows
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.reward_model import load_reward_model
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.tasks.text_tasks import kept_columns
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.preference import ranking_losses, share_ahead
from finetune_trainer.training.losses.reward import SCORES, RankingLoss, score_pairs

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class RewardModel(Task):
    """Reward modelling on one data set."""

    uses_only_dataset_tokens = True

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model with one output."""
        return load_reward_model(files, tokenizer, self.spec.training.seed, how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split. Raises what `prompt_format` and its templates raise."""
        return tokenise_pairs(
            self._rows(split),
            self._form(tokenizer),
            tokenizer,
            max_length,
            labelled=False,
            cache=cache,
            advance=advance,
        )

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: truncation, and length bias."""
        return describe_pairs(report, training_tokens(tokens), tokenizer)

    def loss(
        self, _tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> RankingLoss:
        """The loss over the training pairs."""
        return RankingLoss(self.spec.training.label_smoothing)

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer` and `score_pairs`."""
        return score_pairs(model, rows, context.monitor)

    def measure(self, _split: str, outputs: Outputs) -> dict[str, float]:
        """Loss, and accuracy and margin of the pairs."""
        scores = torch.from_numpy(np.ascontiguousarray(outputs[SCORES], np.float64))
        ahead = scores[:, 0] - scores[:, 1]
        loss = float(ranking_losses(ahead).mean())
        if not isfinite(loss):
            return {}
        return {"evalLoss": loss, "accuracy": share_ahead(scores), "margin": float(ahead.mean())}

    def details(self, split: str, outputs: Outputs, _baseline: Outputs | None) -> Details:
        """Pairs ranked wrongly, and sampled ones."""
        rows, scores = self._rows(split), outputs[SCORES].astype(np.float64)
        ahead = scores[:, 0] - scores[:, 1]
        preferred = ScoredPairs(rows, ahead, ranking_losses(torch.from_numpy(ahead)).numpy())
        samples = preferred.samples(sampled_rows(len(rows), self.spec.training.seed))
        return Details(worst=preferred.worst(), samples=samples)

    def prior_loss(self, _split: str) -> float | None:
        """Loss of a constant score."""
        return log(2)

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        columns = self.data.report.columns
        role = "prompt" if "prompt" in columns else "messages"
        completion = self.spec.data.columns.completion or "completion"
        return {
            "problem_type": ProblemType.REGRESSION,
            "columns": Columns.model_validate(
                {role: columns.get(role, role), "completion": completion} | kept_columns(self.data.report)
            ),
            "clean": keeping_white_space(self.spec.data.clean),
            "prompt_template": self.spec.data.prompt_template,
        }

    def _form(self, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
        return form_of(self.spec, self.data.report, tokenizer)
