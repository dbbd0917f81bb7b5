"""`PolicyOptimization`: a causal model writes answers, which are rewarded; those better than others get likelier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data import Columns
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.failures import ColumnMissing
from finetune_api.outcome import Best
from finetune_api.policy import Policy, PolicyAlgorithm, Reward, RewardType
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType
from finetune_trainer.data import Examples, Prepared
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.shapes.white_space import keeping_white_space
from finetune_trainer.data.splits import RETENTION_SPLIT
from finetune_trainer.data.tokenising.collate import RowSource, TokenRows
from finetune_trainer.data.tokenising.job_prompts import form_of
from finetune_trainer.data.tokenising.learned import learned_from
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.prompts_only_tokens import describe_prompts_only, tokenise_prompts_only
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.evaluation.generated_text import all_references, text_metrics
from finetune_trainer.evaluation.reward_details import RewardedAnswers, diagnose_rewards
from finetune_trainer.evaluation.rewards import checked_reward
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.language import load_causal
from finetune_trainer.models.reward_model import load_policy_reward_model
from finetune_trainer.models.without_dropout import without_dropout
from finetune_trainer.observer import Advance
from finetune_trainer.storage import Site
from finetune_trainer.tasks.chat_settings import chat_settings, kept_columns
from finetune_trainer.tasks.task import split_of
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


@dataclass
class _Found:
    """What a task finds out on its way to training."""

    judge: "TunedModel | None" = None
    """The reward model."""
    reference: ReferencePolicy | None = None
    rows: Mapping[str, RowSource] = field(default_factory=dict)
    tokenizer: Any = None
    stops: Sequence[int] = ()
    limit: int = 0
    """Longest prompt in tokens."""
    expected: dict[str, list[list[str]]] = field(default_factory=dict)
    """Everything that is expected for the prompt of each row, by split."""


@dataclass(frozen=True)
class PolicyOptimization:
    """The task on one data set."""

    spec: Spec
    data: Prepared
    _found: _Found = field(default_factory=_Found)

    @property
    def uses_only_dataset_tokens(self) -> bool:
        """See `Task.uses_only_dataset_tokens`."""
        return False

    @property
    def needs_reference(self) -> bool:
        """See `NeedsReference.needs_reference`."""
        return True

    @property
    def passes(self) -> int:
        """See `OnPolicyTask.passes`."""
        return self.settings.passes_per_rollout

    @property
    def settings(self) -> Policy:
        """How answers are sampled and rewarded; `policy_problems` makes sure that the job says it."""
        return self.spec.training.policy or Policy(reward=Reward(type=RewardType.EXACT_MATCH))

    def equip(self, site: Site) -> None:
        """See `NeedsRewardModel.equip`: load the reward model, where a model gives the rewards."""
        if not self.settings.reward.is_checked:
            self._found.judge = load_policy_reward_model(self.settings.reward, site)

    def load(self, files: ModelFiles, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
        """Load the base model without its dropout: probabilities are compared with those of other passes."""
        return without_dropout(load_causal(files, tokenizer))

    def tokenise(
        self, split: str, tokenizer: "PreTrainedTokenizerBase", max_length: int, cache: Path, advance: Advance
    ) -> Tokens:
        """Tokenise the prompts of one split, with room for answers. Raises what `prompt_format` raises."""
        self._found.tokenizer = tokenizer
        self._found.limit = max_length - min(self._longest_answer, max_length // 2)
        self._check_answers(split)
        return tokenise_prompts_only(
            self._rows(split).turns, self._form(tokenizer), tokenizer, self._found.limit, cache=cache, advance=advance
        )

    def describe_tokens(
        self, report: DataReport, tokens: dict[str, Tokens], tokenizer: "PreTrainedTokenizerBase"
    ) -> DataReport:
        """See `Task.describe_tokens`: what was cut, and the first prompt."""
        return describe_prompts_only(report, learned_from(tokens), tokenizer, self._found.limit)

    def training_rows(self, rows: RowSource) -> RowSource:
        """See `OnPolicyTask.training_rows`."""
        return PromptDataset(rows, self.settings.samples_per_prompt, self._longest_answer)

    def remember_base(
        self,
        model: nn.Module,
        rows: Mapping[str, RowSource],
        weights: str,  # noqa: ARG002 -- nothing of it can be kept: texts are not written yet
        cache: Path,  # noqa: ARG002 -- as above
        advance: Advance,
    ) -> None:
        """See `NeedsReference.remember_base`: how to ask it later."""
        if self.settings.kl_price or self.spec.method.type is not MethodType.FULL:
            self._found.reference = reference_policy_of(model)
        self._found.rows = rows
        self._found.stops = stop_ids(model, self._found.tokenizer, self._form(self._found.tokenizer))
        advance(sum(len(source.lengths) for source in rows.values()))

    def loss(self, _tokens: Tokens) -> PolicyLoss:
        """The loss over sampled answers."""
        found = self._found
        world = RolloutEnv(lambda rows: prompt_ids(found.rows["train"].collate(rows)), self._sample, self._judge)
        return PolicyLoss(self.settings, world, found.reference, int(found.tokenizer.pad_token_id))

    def infer(
        self,
        model: nn.Module,
        rows: RowSource,
        tokenizer: "PreTrainedTokenizerBase",
        advance: Advance,
        *,
        thorough: bool,  # noqa: ARG002 -- nothing is known before a text is written
    ) -> Outputs:
        """See `Task.infer`: `text` [n, bytes], its `reward` [n], and with a reference what `kl_divergence` gives."""
        one = (rows.collate(np.asarray([row])) for row in range(len(rows.lengths)))
        prompts = [prompt_ids(batch)[0] for batch in one]
        manner = GenerationSettings(tokenizer, self.spec.evaluation.generation, self._found.stops)
        answers = generate_ids(model, prompts, manner, advance)
        split = split_of(rows, self._found.rows)
        texts = [manner.text(ids).strip() for ids in answers]
        outputs = {TEXT: as_bytes(texts), _REWARD: np.asarray(self._rewards(split, range(len(texts)), texts))}
        if self._found.reference is None:
            return outputs
        both = TokenRows(prompts_with_answers(prompts, answers), int(tokenizer.pad_token_id))
        return outputs | kl_divergence(model, self._found.reference, both, lambda _rows: None)

    def measure(self, split: str, outputs: Outputs) -> dict[str, float]:
        """Mean reward, the price that is paid for it, and how often answers are the expected ones."""
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
        """The answers with the lowest rewards, and some drawn at random, now and before."""
        before = as_texts(baseline[TEXT]) if baseline else []
        rewarded = RewardedAnswers(self._rows(split), as_texts(outputs[TEXT]), outputs[_REWARD], before)
        return rewarded.details(self.spec.training.seed)

    def prior_loss(self, _split: str) -> float | None:
        """See `Task.prior_loss`: there is none to compare rewards with."""
        return None

    def verdict(self, curves: Sequence[CurvePoint], best: Best | None) -> Verdict:
        """See `OnPolicyTask.verdict`: losses say nothing here, rewards do."""
        return diagnose_rewards(curves, best)

    @property
    def own_settings(self) -> dict[str, Any]:
        """See `Task.own_settings`."""
        columns = self.data.report.columns
        given = {role: columns[role] for role in ("prompt", "input", "messages") if role in columns}
        return {
            **chat_settings(self.spec),
            "columns": Columns.model_validate(given | kept_columns(self.data.report)),
            "clean": keeping_white_space(self.spec.data.clean),
            "prompt_template": self.spec.data.prompt_template,
            "generation": self.spec.evaluation.generation,
        }

    @property
    def has_answers(self) -> bool:
        """Whether the rows bring expected answers."""
        return all(str(label).strip() for rows in self.data.splits.values() for label in rows.labels)

    @property
    def _longest_answer(self) -> int:
        return self.settings.max_new_tokens or self.spec.evaluation.generation.max_new_tokens

    @property
    def _sampling(self) -> GenerationSettings:
        """How answers are drawn in training."""
        generation = self.spec.evaluation.generation.model_copy(update={"max_new_tokens": self._longest_answer})
        sampling = Sampling(self.settings.temperature, self.settings.top_p)
        return GenerationSettings(self._found.tokenizer, generation, self._found.stops, sampling)

    def _sample(self, model: nn.Module, prompts: Sequence[Ids]) -> list[Ids]:
        """See `policy.Write`."""
        return generate_ids(model, prompts, self._sampling)

    def _judge(self, rows: Rows, answers: Sequence[Ids]) -> Sequence[float]:
        """See `policy.Judge`."""
        return self._rewards("train", rows.tolist(), [self._sampling.text(ids).strip() for ids in answers])

    def _rewards(self, split: str, rows: Sequence[int], texts: Sequence[str]) -> Sequence[float]:
        examples, reward = self._rows(split), self.settings.reward
        if self._found.judge is not None:
            chats = [examples.turns[row].answered(text) for row, text in zip(rows, texts, strict=True)]
            return [float(score) for score in score_chats(self._found.judge, chats)]
        known = self._found.expected.get(split) or self._found.expected.setdefault(split, all_references(examples))
        after = self.spec.evaluation.generation.answer_after
        return [checked_reward(reward.type, text, known[row], after) for row, text in zip(rows, texts, strict=True)]

    def _check_answers(self, split: str) -> None:
        missing = sum(not str(label).strip() for label in self._rows(split).labels)
        if missing and self.settings.reward.is_checked:
            needing = f"which reward {self.settings.reward.type} needs"
            message = f"{missing:,} {split} rows have no expected answer, {needing}"
            hint = "name the column of expected answers, end chats with the answer, or use a reward model"
            where = "spec.evaluation.retention" if split == RETENTION_SPLIT else "spec.data"
            raise ColumnMissing(message, where=f"{where}.columns.completion", hint=hint)

    def _rows(self, split: str) -> Examples:
        return self.data.splits[split]

    def _form(self, tokenizer: "PreTrainedTokenizerBase") -> PromptFormat:
        return form_of(self.spec, self.data.report, tokenizer)
