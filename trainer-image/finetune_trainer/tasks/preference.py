"""`Preference`: preference optimisation of a causal model on pairs of answers (DPO, IPO, SimPO, ORPO, hinge)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune_api.data import Columns
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.preference import Preference as Settings
from finetune_api.preference import PreferenceLoss
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.tokenising.answer_findings import describe_pairs
from finetune_trainer.data.tokenising.answer_tokens import tokenise_pairs
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.data.tokenising.job_prompts import form_of
from finetune_trainer.data.tokenising.learned import training_tokens
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.preference_details import ScoredPairs, generated_samples, sampled_rows
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_causal
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.observer import Advance, Monitor
from finetune_trainer.tasks.task import InferenceContext, ReferenceInputs, Task
from finetune_trainer.tasks.text_tasks import kept_columns
from finetune_trainer.training.generation.batches import TEXT, as_bytes, as_texts
from finetune_trainer.training.generation.causal import GenerationSettings, generate_texts, last_prompt, stop_ids
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.preference import (
    LOG_PROBABILITIES,
    REFERENCE,
    PairLoss,
    Pairs,
    pair_losses,
    pairs_from,
    rewards,
    sequence_logprobs,
    share_ahead,
)
from finetune_trainer.training.losses.reference import cached_logprobs, reference_key
from finetune_trainer.training.losses.token_scores import perplexity

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Preference(Task):
    """Preference optimization on one data set."""

    reference: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Log-probabilities of both answers of each pair under the base model, [n, 2], by split; see `with_reference`."""

    @property
    def settings(self) -> Settings:
        """The loss with resolved defaults."""
        return self.spec.training.preference or Settings()

    @property
    def needs_reference(self) -> bool:
        """See `NeedsReference.needs_reference`."""
        return self.settings.has_reference

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model without dropout: against a reference it is pure noise."""
        return without_dropout(load_causal(files, tokenizer, how))

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise one split, with labels on the answers. Raises what `prompt_format` and its templates raise."""
        rows, form = self._rows(split), self._form(tokenizer)
        return tokenise_pairs(rows, form, tokenizer, max_length, cache=cache, advance=advance)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", _max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: truncation, length bias, and the first chosen answer."""
        return describe_pairs(report, training_tokens(tokens), tokenizer)

    def with_reference(self, model: nn.Module, inputs: ReferenceInputs, monitor: Monitor) -> "Preference":
        """See `NeedsReference.with_reference`: log-probabilities of all answers."""
        reference = {}
        for split, rows in inputs.rows.items():
            key = reference_key(inputs.weights, inputs.tokens[split])
            make = partial(_log_probabilities, model, rows, monitor)
            reference[split] = cached_logprobs(key, inputs.cache, len(rows.lengths), make, monitor.advance)
        return replace(self, reference=reference)

    def loss(
        self, _tokens: Tokens, _rows: RowSource, _model: nn.Module, _tokenizer: "PreTrainedTokenizerBase"
    ) -> PairLoss:
        """The loss over the training pairs."""
        reference = self.reference.get("train")
        tensor = None if reference is None else torch.from_numpy(reference).float()
        return PairLoss(self.settings, self.spec.training.label_smoothing, tensor)

    def infer(self, model: nn.Module, split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer` and `sequence_logprobs`; `reference` [n, 2] are those of the base model.

        Where texts are generated, also answers to some prompts, `text`.
        """
        outputs = sequence_logprobs(model, rows, context.monitor)
        if self.needs_reference:
            outputs[REFERENCE] = self.reference[split]
        if not context.generate:
            return outputs
        texts, places = [""] * len(rows.lengths), sampled_rows(len(rows.lengths), self.spec.training.seed)
        one = (rows.collate(np.asarray([row])) for row in places)
        prompts = [last_prompt(pair["input_ids"][0].numpy(), pair["labels"][0].numpy()) for pair in one]
        tokenizer = context.tokenizer
        stops = stop_ids(model, tokenizer, self._form(tokenizer))
        generation = GenerationSettings(tokenizer, self.spec.evaluation.generation, stops)
        for row, text in zip(
            places, generate_texts(model, prompts, generation, context.monitor.without_progress()), strict=True
        ):
            texts[row] = text
        return {**outputs, TEXT: as_bytes(texts)}

    def measure(self, _split: str, outputs: Outputs) -> dict[str, float]:
        """Loss, and reward accuracy and margin of the pairs."""
        pairs = pairs_from(outputs)
        loss = float(pair_losses(pairs, self.settings).mean())
        if not isfinite(loss):
            return {}
        scores = rewards(pairs, self.settings)
        chosen_loss = -float(pairs.log_probabilities[:, 0].sum() / pairs.tokens[:, 0].sum())
        return {
            "evalLoss": loss,
            "rewardAccuracy": share_ahead(scores),
            "rewardMargin": float((scores[:, 0] - scores[:, 1]).mean()),
            "likelihoodAccuracy": share_ahead(pairs.by_token),
            "perplexity": perplexity(chosen_loss),
        }

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """Pairs ranked wrongly, and texts generated by tuned and base model."""
        pairs, rows = pairs_from(outputs), self._rows(split)
        scores = rewards(pairs, self.settings)
        losses = pair_losses(pairs, self.settings)
        preferred = ScoredPairs(rows, (scores[:, 0] - scores[:, 1]).numpy(), losses.numpy())
        before = as_texts(baseline[TEXT]) if baseline else []
        places = sampled_rows(len(rows), self.spec.training.seed)
        return Details(
            worst=preferred.worst(), samples=generated_samples(rows, places, as_texts(outputs[TEXT]), before)
        )

    def prior_loss(self, _split: str) -> float | None:
        """Loss at equal rewards of both answers; None for losses with a term on the chosen answer alone."""
        settings = self.settings
        if settings.answer_weight or settings.loss is PreferenceLoss.ORPO:
            return None
        if settings.loss is PreferenceLoss.DPO:
            return log(2)
        none = torch.zeros(1, 2)
        return float(pair_losses(Pairs(none, none + 1, none if settings.has_reference else None), settings))

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        role = "messages" if self._is_chat else "prompt"
        return {
            "columns": Columns.model_validate(
                {role: self.data.report.columns.get(role, role)} | kept_columns(self.data.report)
            ),
            "clean": keeping_white_space(self.spec.data.clean),
            "prompt_template": self.spec.data.prompt_template,
            "generation": self.spec.evaluation.generation,
        }

    @property
    def _is_chat(self) -> bool:
        return "prompt" not in self.data.report.columns

    def _form(self, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
        return form_of(self.spec, self.data.report, tokenizer)


def _log_probabilities(model: nn.Module, rows: RowSource, monitor: Monitor) -> NDArray[np.float64]:
    found = sequence_logprobs(model, rows, monitor)[LOG_PROBABILITIES]
    return np.ascontiguousarray(found, np.float64)
