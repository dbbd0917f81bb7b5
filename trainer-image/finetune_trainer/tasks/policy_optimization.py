"""`PolicyOptimization`: a causal model trained on rewards of sampled answers (GRPO, RLOO)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data import Columns
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.failures import ColumnMissing, SpecInvalid
from finetune_api.outcome import Best
from finetune_api.policy import Policy, PolicyAlgorithm, Reward, RewardType
from finetune_api.tasks import MethodType
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.data.tokenising.collate import RowSource, TokenRows
from finetune_trainer.data.tokenising.job_prompts import form_of
from finetune_trainer.data.tokenising.learned import training_tokens
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.prompts_only_tokens import describe_prompts_only, tokenise_prompts_only
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.generated_text import all_references, answer_in, text_metrics
from finetune_trainer.evaluation.number_values import last_value
from finetune_trainer.evaluation.reward_details import RewardedAnswers, diagnose_rewards
from finetune_trainer.evaluation.rewards import checked_reward
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_causal
from finetune_trainer.models.model_loading import FP32, ModelLoading
from finetune_trainer.models.reward_model import load_policy_reward_model
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.observer import Advance, Monitor
from finetune_trainer.storage import Site
from finetune_trainer.tasks.task import InferenceContext, ReferenceInputs, Task
from finetune_trainer.tasks.text_tasks import kept_columns
from finetune_trainer.training.generation.batches import TEXT, as_bytes, as_texts
from finetune_trainer.training.generation.causal import GenerationSettings, Sampling, generate_ids, stop_ids
from finetune_trainer.training.generation.rollouts import (
    DIVERGENCE,
    LENGTH,
    Ids,
    PromptDataset,
    ReferencePolicy,
    kl_divergence,
    prompt_ids,
    prompts_with_answers,
    reference_policy_of,
)
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.policy import PolicyLoss, RolloutEnv
from finetune_trainer.training.losses.reward import score_chats

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from finetune_trainer.models.tuned import TunedModel

_REWARD = "reward"


@dataclass(frozen=True)
class PolicyOptimization(Task):
    """Policy optimization on one data set."""

    reward_model: "TunedModel | None" = None
    """Gives the rewards, where no rule does; see `with_reward_model`."""
    reference: ReferencePolicy | None = None
    """The base model, for KL divergences; see `with_reference`."""

    @property
    def needs_reference(self) -> bool:
        """See `NeedsReference.needs_reference`."""
        return True

    @property
    def passes(self) -> int:
        """See `OnPolicyTask.passes`."""
        return self.settings.num_iterations

    @property
    def settings(self) -> Policy:
        """Sampling and reward settings; `policy_problems` ensures that the job has them."""
        return self.spec.training.policy or Policy(reward=Reward(type=RewardType.EXACT_MATCH))

    def with_reward_model(self, site: Site) -> "PolicyOptimization":
        """See `NeedsRewardModel.with_reward_model`: the reward model, where one is configured."""
        reward = self.settings.reward
        return self if reward.is_checked else replace(self, reward_model=load_policy_reward_model(reward, site))

    def load(
        self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase", how: ModelLoading = FP32
    ) -> "PreTrainedModel":
        """Load the base model without dropout: probabilities are compared between passes."""
        return without_dropout(load_causal(files, tokenizer, how))

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise the prompts of one split, with room for answers. Raises what `prompt_format` raises."""
        self._check_answers(split)
        rows, limit = self._rows(split).turns, self._prompt_limit(max_length)
        return tokenise_prompts_only(rows, self._form(tokenizer), tokenizer, limit, cache=cache, advance=advance)

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase", max_length: int
    ) -> DataReport:
        """See `Task.describe_tokens`: truncation, and the first prompt."""
        return describe_prompts_only(report, training_tokens(tokens), tokenizer, self._prompt_limit(max_length))

    def training_rows(self, rows: RowSource) -> RowSource:
        """See `OnPolicyTask.training_rows`."""
        return PromptDataset(rows, self.settings.num_generations, self._longest_answer)

    def with_reference(self, model: nn.Module, inputs: ReferenceInputs, monitor: Monitor) -> "PolicyOptimization":
        """See `NeedsReference.with_reference`: a frozen reference policy, which is called during training."""
        monitor.advance(sum(len(rows.lengths) for rows in inputs.rows.values()))
        needed = self.settings.kl_price or self.spec.method.type is not MethodType.FULL
        return replace(self, reference=reference_policy_of(model)) if needed else self

    def loss(
        self, _tokens: Tokens, rows: RowSource, model: nn.Module, tokenizer: "PreTrainedTokenizerBase"
    ) -> PolicyLoss:
        """The policy loss over sampled answers to the training prompts."""
        sampling, monitor = self._sampling(model, tokenizer), Monitor()

        def rewards(numbers: Rows, answers: Sequence[Ids]) -> Sequence[float]:
            return self._rewards("train", numbers.tolist(), [sampling.text(ids).strip() for ids in answers])

        env = RolloutEnv(
            lambda numbers: prompt_ids(rows.collate(numbers)),
            lambda policy, prompts: generate_ids(policy, prompts, sampling, monitor),
            rewards,
        )
        return PolicyLoss(self.settings, env, self.reference, int(tokenizer.pad_token_id))

    def infer(self, model: nn.Module, split: str, rows: RowSource, context: InferenceContext) -> Outputs:
        """See `Task.infer`: `text` [n, bytes], its `reward` [n], and with a reference what `kl_divergence` gives.

        Texts are always generated: nothing is known before.
        """
        one = (rows.collate(np.asarray([row])) for row in range(len(rows.lengths)))
        prompts = [prompt_ids(batch)[0] for batch in one]
        generation = self._greedy(model, context.tokenizer)
        answers = generate_ids(model, prompts, generation, context.monitor)
        texts = [generation.text(ids).strip() for ids in answers]
        outputs = {TEXT: as_bytes(texts), _REWARD: np.asarray(self._rewards(split, range(len(texts)), texts))}
        if self.reference is None:
            return outputs
        both = TokenRows(prompts_with_answers(prompts, answers), int(context.tokenizer.pad_token_id))
        return outputs | kl_divergence(model, self.reference, both, context.monitor.without_progress())

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Mean reward, KL divergence, and similarity to expected answers."""
        reward = float(outputs[_REWARD].mean())
        metrics = {"evalLoss": -reward, "meanReward": reward}
        if DIVERGENCE in outputs:
            metrics["kl"] = float(outputs[DIVERGENCE].sum() / max(1, outputs[LENGTH].sum()))
            by_answer = self.settings.algorithm is PolicyAlgorithm.RLOO
            price = float(outputs[DIVERGENCE].mean()) if by_answer else metrics["kl"]
            metrics["evalLoss"] += self.settings.kl_price * price
        if not all(map(isfinite, metrics.values())):
            return {}
        if self.has_answers:
            after = self.spec.evaluation.generation.answer_after
            like = text_metrics(as_texts(outputs[TEXT]), all_references(self._rows(split)), after)
            metrics["exactMatch"] = like["exactMatch"]
        return metrics

    def details(self, split: str, outputs: Outputs, baseline: Outputs | None) -> Details:
        """The answers with the lowest rewards, and sampled ones, of tuned and base model."""
        before = as_texts(baseline[TEXT]) if baseline else []
        rewarded = RewardedAnswers(self._rows(split), as_texts(outputs[TEXT]), outputs[_REWARD], before)
        return rewarded.details(self.spec.training.seed)

    def verdict(self, curves: Sequence[CurvePoint], best: Best | None) -> Verdict:
        """See `OnPolicyTask.verdict`: from rewards, since losses are not comparable."""
        return diagnose_rewards(curves, best)

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        columns = self.data.report.columns
        given = {role: columns[role] for role in ("prompt", "input", "messages") if role in columns}
        return {
            "columns": Columns.model_validate(given | kept_columns(self.data.report)),
            "clean": keeping_white_space(self.spec.data.clean),
            "prompt_template": self.spec.data.prompt_template,
            "generation": self.spec.evaluation.generation,
        }

    @property
    def has_answers(self) -> bool:
        """Whether all rows have expected answers."""
        return all(str(label).strip() for rows in self.data.splits.values() for label in rows.labels)

    @property
    def _longest_answer(self) -> int:
        return self.settings.max_new_tokens or self.spec.evaluation.generation.max_new_tokens

    def _prompt_limit(self, max_length: int) -> int:
        """Maximum prompt length in tokens, with room for an answer."""
        return max_length - min(self._longest_answer, max_length // 2)

    def _greedy(self, model: nn.Module, tokenizer: "PreTrainedTokenizerBase") -> GenerationSettings:
        """Generation settings of evaluations."""
        stops = stop_ids(model, tokenizer, self._form(tokenizer))
        return GenerationSettings(tokenizer, self.spec.evaluation.generation, stops)

    def _sampling(self, model: nn.Module, tokenizer: "PreTrainedTokenizerBase") -> GenerationSettings:
        """Sampling settings of training."""
        generation = self.spec.evaluation.generation.model_copy(update={"max_new_tokens": self._longest_answer})
        sampling = Sampling(self.settings.temperature, self.settings.top_p)
        return replace(self._greedy(model, tokenizer), settings=generation, sampling=sampling)

    @cached_property
    def _expected(self) -> dict[str, list[list[str]]]:
        """References for the prompt of each row, by split."""
        return {split: all_references(rows) for split, rows in self.data.splits.items()}

    def _rewards(self, split: str, rows: Sequence[int], texts: Sequence[str]) -> Sequence[float]:
        examples, reward = self._rows(split), self.settings.reward
        if self.reward_model is not None:
            chats = [examples.turns[row].answered(text) for row, text in zip(rows, texts, strict=True)]
            return [float(score) for score in score_chats(self.reward_model, chats)]
        known, after = self._expected[split], self.spec.evaluation.generation.answer_after
        return [checked_reward(reward.type, text, known[row], after) for row, text in zip(rows, texts, strict=True)]

    def _check_answers(self, split: str) -> None:
        missing = sum(not str(label).strip() for label in self._rows(split).labels)
        if missing and self.settings.reward.is_checked:
            needing = f"which reward {self.settings.reward.type} needs"
            message = f"{missing:,} {split} rows have no expected answer, {needing}"
            hint = "name the column of expected answers, end chats with the answer, or use a reward model"
            where = "spec.evaluation.retention" if split == RETENTION_SPLIT else "spec.data"
            raise ColumnMissing(message, where=f"{where}.columns.completion", hint=hint)
        if self.settings.reward.type is RewardType.NUMBER_MATCH:
            self._check_numbers(split)

    def _check_numbers(self, split: str) -> None:
        after, labels = self.spec.evaluation.generation.answer_after, self._rows(split).labels
        without = [str(label) for label in labels if last_value(answer_in(str(label), after)) is None]
        if len(without) > len(labels) / 2:
            counted = f"{len(without):,} of {len(labels):,} expected {split} answers"
            message = f"{counted} hold no number, which NumberMatch goes by, such as {shown(without[0])}"
            hint = "use ExactMatch or Contains, or name another column in data.columns.completion"
            raise SpecInvalid(message, where="spec.training.policy.reward.type", hint=hint)

    def _form(self, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
        return form_of(self.spec, self.data.report, tokenizer)
