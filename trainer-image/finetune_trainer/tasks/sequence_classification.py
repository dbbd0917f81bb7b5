"""`SequenceClassification`: one label, several labels or a number per text (or pair of texts)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.metrics import CATALOGUE
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Examples
from finetune_trainer.data.splits import TRAIN
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.tokens import Tokens, tokenise
from finetune_trainer.evaluation.details import Inputs, describe
from finetune_trainer.evaluation.metrics import compute_metrics, metric_value
from finetune_trainer.evaluation.scores import Scored, prior_loss
from finetune_trainer.evaluation.trivial_answers import constant_answer_of, prior_logits
from finetune_trainer.models.classifier import load_classifier
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.observer import Advance
from finetune_trainer.tasks.task import InferenceContext, Task
from finetune_trainer.training.inference import Outputs, predict_logits
from finetune_trainer.training.losses.base import RowLoss
from finetune_trainer.training.losses.classification import build_objective

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOGITS = "logits"
"""Name of the outputs: [n, labels], or [n] of numbers to predict."""


@dataclass(frozen=True)
class SequenceClassification(Task):
    """Text classification or regression on one data set."""

    @property
    def problem(self) -> ProblemType:
        """SingleLabel, MultiLabel or Regression."""
        return self.data.labels.problem_type

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model with a head for these labels."""
        return load_classifier(files, tokenizer, self.problem, self.data.labels.names, self.spec.training.seed, how=how)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split."""
        examples = self.data.splits[split]
        texts = self._texts(tokenizer)
        return tokenise(examples.texts, examples.pairs, texts, max_length, cache=cache, advance=advance)

    def describe_tokens(
        self, report: DataReport, _tokens: dict[str, Tokens], _tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: nothing beyond lengths."""
        return report

    uses_only_dataset_tokens = True

    def loss(
        self, _tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> RowLoss:
        """The loss over the training rows, with class weights where requested."""
        labels, targets = max(1, len(self.data.labels.names)), self.targets("train")
        objective = build_objective(self.problem, targets, labels, self.spec.training)
        return RowLoss(objective, torch.from_numpy(np.asarray(targets)))

    def targets(self, split: str) -> NDArray[np.generic]:
        """Targets of one split, [n] or [n, labels]."""
        return self._examples(split).targets

    def infer(self, model: nn.Module, _split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer`: `logits` [n, labels]."""
        return {LOGITS: predict_logits(model, rows, context.monitor)}

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """All metrics of the problem type, and those of single classes that the job names."""
        logits, targets, names = outputs[LOGITS], self.targets(split), self.data.labels.names
        metrics = compute_metrics(logits, targets, self.problem, names)
        for name in self._named_metrics() - set(metrics):
            value = metric_value(name, logits, targets, self.problem, names)
            if value is not None:
                metrics[name] = value
        return metrics

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """Confusion matrix, class metrics, calibration, worst errors and samples."""
        scored = Scored(outputs[LOGITS], self.targets(split), self.problem, self.data.labels.names)
        rows = self._examples(split)
        inputs = Inputs(rows.texts, rows.pairs or (), rows.places)
        before, seed = baseline[LOGITS] if baseline else None, self.spec.training.seed
        return describe(scored, inputs, before, seed, held_out=split != TRAIN)

    def prior_loss(self, split: str) -> float:
        """Loss of the best constant prediction."""
        return prior_loss(self.targets(split), self.problem)

    def trivial_metrics(self, split: str, _outputs: Outputs) -> dict[str, float]:
        """See `Task.trivial_metrics`: those of the class shares, or of the mean."""
        if TRAIN not in self.data.splits:
            return {}
        names, rows = self.data.labels.names, len(self._examples(split))
        return self.measure(split, {LOGITS: prior_logits(self.targets(TRAIN), self.problem, len(names), rows)})

    def constant_answer(self, split: str, outputs: Outputs) -> str:
        """See `Task.constant_answer`: one class, label set, or number."""
        scored = Scored(outputs[LOGITS], self.targets(split), self.problem, self.data.labels.names)
        if self.problem is ProblemType.REGRESSION:
            return constant_answer_of(
                [f"{value:.3g}" for value in scored.predictions], [str(one) for one in scored.truth]
            )
        return constant_answer_of(*(self._named(which) for which in (scored.predictions, scored.truth)))

    def _named(self, numbers: NDArray[np.generic]) -> list[str]:
        names = self.data.labels.names
        if self.problem is ProblemType.MULTI_LABEL:
            return [", ".join(name for name, is_on in zip(names, row, strict=True) if is_on) for row in numbers]
        return [names[int(number)] for number in numbers]

    def _examples(self, split: str) -> Examples:
        return self.data.splits[split]

    def _named_metrics(self) -> set[str]:
        named = {self.spec.evaluation.metric, *(gate.metric for gate in self.spec.evaluation.gates)}
        return named - set(CATALOGUE[self.spec.task])
