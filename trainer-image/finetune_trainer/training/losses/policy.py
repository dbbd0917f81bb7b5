"""Policy-gradient losses on sampled answers (RLOO, GRPO), with advantages within the samples of a prompt.

RLOO: Ahmadian et al. 2024, arXiv:2402.14740. GRPO: Shao et al. 2024, arXiv:2402.03300. Both with the clipped objective
of PPO (Schulman et al. 2017, arXiv:1707.06347) and without a value model. The KL divergence of GRPO is estimated by
Schulman's k3 (2020, joschu.net/blog/kl-approx.html): unbiased, never negative.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from finetune_api.failures import LossDiverged
from finetune_api.policy import Policy, PolicyAlgorithm
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import Volume
from finetune_trainer.training.generation.rollouts import (
    Ids,
    ReferencePolicy,
    TokenLogProbs,
    answer_batch,
    entropies,
    token_logprobs,
)
from finetune_trainer.training.losses.base import StepMetrics
from finetune_trainer.training.speedups.labelled_logits import labelled_logits

Write = Callable[[nn.Module, Sequence[Ids]], list[Ids]]
"""Samples an answer to each prompt."""
Prompts = Callable[[Rows], list[Ids]]
"""The prompts of some rows."""
Judge = Callable[[Rows, Sequence[Ids]], Sequence[float]]
"""Rewards answers, each to the row of that number."""

REWARD, KL, ENTROPY, TOKENS, ZERO_VARIANCE = "meanReward", "kl", "entropy", "answerTokens", "zeroVarianceGroups"
_SMALLEST_DEVIATION = 1e-4
_RUNAWAY = 10.0
"""KL divergence, in nats per token, of texts that the model as it came would hardly ever write."""
_PATIENCE = 10
"""Steps in a row without any difference to learn from, after which a warning is reported."""
_NOTHING_TO_LEARN = (
    f"for {_PATIENCE} steps all answers to each prompt got the same reward, so there is nothing to learn from: raise "
    "training.policy.temperature or numGenerations, tune on right answers first (CausalLM), or take easier prompts"
)


@dataclass(frozen=True)
class RolloutEnv:
    """Rollout environment of a policy: prompts, sampling and rewards."""

    prompts: Prompts
    write: Write
    judge: Judge


@dataclass(frozen=True)
class Answer:
    """A sampled answer."""

    prompt: Ids
    ids: Ids
    reward: float


@dataclass(frozen=True)
class Rollouts:
    """Sampled answers; tensors by token are [texts, length]."""

    batch: dict[str, Tensor]
    """Prompts with answers: `input_ids`, `attention_mask` and `labels`."""
    advantages: Tensor
    """By how much each answer did better than its group, [texts]."""
    reference: Tensor | None
    """Log-probabilities of the tokens under the model as it came."""
    before: Tensor | None = None
    """Log-probabilities of the tokens when they were sampled; None until they are known."""


class PolicyLoss:
    """Loss on sampled answers: samples at the start of a step, and compares with the policy at that time.

    The answers of a step are kept for its later passes, and never outlive it: between two steps there is no state but
    that of torch's random generator.
    """

    def __init__(self, settings: Policy, world: RolloutEnv, reference: ReferencePolicy | None, pad_id: int) -> None:
        self._settings, self._world = settings, world
        self._reference, self._pad_id = reference, pad_id
        self._rows: Rows = np.empty(0, np.int64)
        self._answers = dict[int, list[Answer]]()
        self._drawn = dict[bytes, Rollouts]()
        self._sums = dict[str, float]()
        self._zero_variance_steps = 0

    def to(self, _device: torch.device) -> "PolicyLoss":
        """See `Loss.to`."""
        return self

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`: the number of answers. Discards earlier samples."""
        self._rows = rows
        self._answers.clear()
        self._drawn.clear()
        self._sums = dict.fromkeys((REWARD, KL, ENTROPY, TOKENS, ZERO_VARIANCE), 0.0)
        return float(len(rows) * self._settings.num_generations)

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """See `Loss.total`. Answers to all prompts of a step are sampled together with its first part."""
        key, temperature = rows.tobytes(), self._settings.temperature
        if not self._answers:
            self._answers = self._sample(model)
        if key not in self._drawn:
            self._drawn[key] = self._rolled_out(model, inputs, rows)
        rollouts = self._drawn[key]
        seen = labelled_logits(model, rollouts.batch, shift=True)
        now = token_logprobs(seen, temperature)
        if rollouts.before is None:
            rollouts = self._drawn[key] = self._completed(rollouts, now)
            self._sums[ENTROPY] += float(entropies(seen, temperature))
        return policy_losses(now, rollouts, self._settings).sum()

    def step_metrics(self) -> StepMetrics:
        """See `HasStepMetrics.step_metrics`: means over the sampled answers.

        Their reward and length, entropy of a token and its KL divergence from the model as it came, and the share of
        prompts whose answers all got the same reward.
        """
        sums, prompts = self._sums, sum(len(part.advantages) for part in self._drawn.values())
        groups, tokens = prompts / self._settings.num_generations, max(1.0, sums[TOKENS])
        figures = {
            REWARD: sums[REWARD] / prompts,
            ENTROPY: sums[ENTROPY] / tokens,
            TOKENS: tokens / prompts,
            ZERO_VARIANCE: sums[ZERO_VARIANCE] / groups,
        }
        if self._reference is not None:
            figures[KL] = sums[KL] / tokens
            self._check_divergence(figures[KL])
        self._zero_variance_steps = self._zero_variance_steps + 1 if figures[ZERO_VARIANCE] == 1 else 0
        return StepMetrics(figures, _NOTHING_TO_LEARN if self._zero_variance_steps == _PATIENCE else "", self._volume())

    def _volume(self) -> Volume:
        """Token volume of prompts and answers of the step."""
        masks = [part.batch["attention_mask"] for part in self._drawn.values()]
        return Volume(sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks))

    def _sample(self, model: nn.Module) -> dict[int, list[Answer]]:
        """Answers to the prompts of the step by row."""
        samples, world = self._settings.num_generations, self._world
        prompts = [prompt for prompt in world.prompts(self._rows) for _ in range(samples)]
        repeated, written = np.repeat(self._rows, samples), world.write(model, prompts)
        found = dict[int, list[Answer]]()
        for row, answer in zip(
            repeated.tolist(), map(Answer, prompts, written, world.judge(repeated, written)), strict=True
        ):
            found.setdefault(row, []).append(answer)
        return {
            row: answers[:samples] for row, answers in found.items()
        }  # of a row that is there twice, the first ones

    def _rolled_out(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Rollouts:
        """Answers to some prompts as a batch, with rewards in place of advantages."""
        answers, device = [one for row in rows.tolist() for one in self._answers[row]], inputs["input_ids"].device
        made = answer_batch([one.prompt for one in answers], [one.ids for one in answers], self._pad_id)
        batch = {name: part.to(device) for name, part in made.items()}
        reference = None
        if self._reference is not None:
            reference = token_logprobs(self._reference(model, batch), self._settings.temperature)
        rewards = torch.tensor([one.reward for one in answers], dtype=torch.float32, device=device)
        groups = rewards.view(-1, self._settings.num_generations)
        self._sums[REWARD] += float(rewards.sum())
        self._sums[TOKENS] += float(sum(len(one.ids) for one in answers))
        self._sums[ZERO_VARIANCE] += int((groups == groups[:, :1]).all(dim=1).sum())
        return Rollouts(batch, rewards, reference.log_probabilities if reference else None)

    def _completed(self, rollouts: Rollouts, now: TokenLogProbs) -> Rollouts:
        """The rollouts with current token log-probabilities, and with advantages in place of rewards."""
        before, rewards = now.log_probabilities.detach(), rollouts.advantages
        if rollouts.reference is not None:
            self._sums[KL] += float((_k3(before, rollouts.reference) * now.counted).sum())
            if self._settings.algorithm is PolicyAlgorithm.RLOO:
                rewards = rewards - self._settings.kl_price * (before - rollouts.reference).sum(dim=1)
        found = advantages(rewards.view(-1, self._settings.num_generations), self._settings.algorithm)
        return replace(rollouts, before=before, advantages=found.flatten())

    def _check_divergence(self, kl: float) -> None:
        if self._settings.kl_price and not kl < _RUNAWAY:
            message = f"the answers are {kl:.3g} nats per token from the base model: it has collapsed"
            hint = "lower spec.training.learningRate, or raise spec.training.policy.klCoefficient"
            raise LossDiverged(message, where="spec.training.policy", hint=hint)


def advantages(rewards: Tensor, algorithm: PolicyAlgorithm) -> Tensor:
    """Advantage of each answer within its group (GRPO, RLOO); both [prompts, samples]."""
    if algorithm is PolicyAlgorithm.RLOO:
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
        return rewards - others
    deviation = rewards.std(dim=1, keepdim=True)
    return (rewards - rewards.mean(dim=1, keepdim=True)) / (deviation + _SMALLEST_DEVIATION)


def policy_losses(now: TokenLogProbs, rollouts: Rollouts, settings: Policy) -> Tensor:
    """Loss of each answer, [texts]."""
    before = now.log_probabilities.detach() if rollouts.before is None else rollouts.before
    gained = now.log_probabilities - before
    if settings.algorithm is PolicyAlgorithm.RLOO:  # the price of the divergence is part of the reward
        return -_clipped(gained.sum(dim=1), rollouts.advantages, settings.clip_range)
    losses = -_clipped(gained, rollouts.advantages[:, None], settings.clip_range)
    if rollouts.reference is not None and settings.kl_price:
        losses = losses + settings.kl_price * _k3(now.log_probabilities, rollouts.reference)
    return (losses * now.counted).sum(dim=1) / now.counted.sum(dim=1).clamp(min=1)


def _clipped(gained: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's clipped surrogate objective: ratio times advantage, without gain from a ratio beyond `clip`."""
    ratio = gained.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def _k3(now: Tensor, reference: Tensor) -> Tensor:
    """k3 estimator of the KL divergence per token, from log-probabilities of policy and reference."""
    missing = reference - now
    return missing.exp() - missing - 1
