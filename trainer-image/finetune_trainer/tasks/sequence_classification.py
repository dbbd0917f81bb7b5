"""`SequenceClassification`: one label, several labels or a number for each text (or pair of texts)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.job import Spec
from finetune_api.metrics import CATALOGUE
from finetune_api.report import Details
from finetune_api.tasks import ProblemType
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.data.tokens import Tokens, tokenise
from finetune_trainer.evaluation.details import Inputs, describe
from finetune_trainer.evaluation.metrics import compute_metrics, metric_value
from finetune_trainer.evaluation.scores import Scored, prior_loss
from finetune_trainer.models.classifier import load_classifier
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.observer import Advance
from finetune_trainer.training.objective import Objective, build_objective

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class SequenceClassification:
    """The task on one data set."""

    spec: Spec
    data: Prepared

    @property
    def problem(self) -> ProblemType:
        """SingleLabel, MultiLabel or Regression."""
        return self.data.labels.problem_type

    def load(self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
        """Load the base model with a head for these labels."""
        return load_classifier(files, tokenizer, self.problem, self.data.labels.names, self.spec.training.seed)

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split."""
        examples = self.data.splits[split]
        return tokenise(examples.texts, examples.pairs, tokenizer, max_length, cache=cache, advance=advance)

    def objective(self) -> Objective:
        """The loss, with class weights from the training rows where asked for."""
        labels = max(1, len(self.data.labels.names))
        return build_objective(self.problem, self.targets("train"), labels, self.spec.training)

    def targets(self, split: str) -> NDArray[np.generic]:
        """Targets of one split, [n] or [n, labels]."""
        return self._examples(split).targets

    def target_tensor(self, split: str) -> Tensor:
        """The same for the loop."""
        return torch.from_numpy(np.asarray(self.targets(split)))

    def measure(self, split: str, logits: Logits) -> dict[str, float]:
        """All metrics that apply, and those of single classes that gates or the choice of the best state name."""
        targets, names = self.targets(split), self.data.labels.names
        metrics = compute_metrics(logits, targets, self.problem, names)
        for name in self._named_metrics() - set(metrics):
            value = metric_value(name, logits, targets, self.problem, names)
            if value is not None:
                metrics[name] = value
        return metrics

    def details(self, split: str, logits: Logits, baseline: Logits | None) -> Details:
        """Confusion, classes, calibration, worst errors and samples."""
        scored = Scored(logits, self.targets(split), self.problem, self.data.labels.names)
        rows = self._examples(split)
        inputs = Inputs(rows.texts, rows.pairs or (), rows.places)
        return describe(scored, inputs, baseline, self.spec.training.seed)

    def prior_loss(self, split: str) -> float:
        """Loss of the best answer that ignores the text."""
        return prior_loss(self.targets(split), self.problem)

    def save_settings(self, folder: Path, max_length: int) -> None:
        """Write what prediction needs beside the weights."""
        settings = InferenceSettings(
            task=self.spec.task,
            method=self.spec.method.type,
            problem_type=self.problem,
            labels=list(self.data.labels.names),
            max_length=max_length,
            columns=self.spec.data.columns,
            clean=self.spec.data.clean,
        )
        (folder / INFERENCE_NAME).write_text(settings.model_dump_json(by_alias=True, indent=2) + "\n")

    def _examples(self, split: str) -> Examples:
        return self.data.splits[split]

    def _named_metrics(self) -> set[str]:
        named = {self.spec.evaluation.metric, *(gate.metric for gate in self.spec.evaluation.gates)}
        return named - set(CATALOGUE[self.spec.task])
