"""`spec.training.policy`: reinforcement learning of a language model from rewards for sampled answers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Rule, SecretReference
from finetune_api.uris import CLAIM_RULE, PARENT_RULE

RewardUri = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^(hf|s3|gs|az|pvc|finetunejob|file)://.+$")
]  # hf://, which a result can't have, is let in here, so that the rule below can say why not


class PolicyAlgorithm(StrEnum):
    """Policy gradient estimators with a baseline from the other samples of the prompt, without a value model."""

    RLOO = "RLOO"
    GRPO = "GRPO"


class RewardType(StrEnum):
    """Reward functions."""

    MODEL = "Model"
    EXACT_MATCH = "ExactMatch"
    NUMBER_MATCH = "NumberMatch"
    CONTAINS = "Contains"


def _where_given(rule: Rule, message: str) -> Rule:
    """The rule on `uri` for a block in which it is optional."""
    return Rule(
        cel=f"!has(self.uri) || {rule.cel}",
        holds=lambda reward: reward.uri is None or rule.holds is None or rule.holds(reward),
        field="uri",
        message=message,
    )


class Reward(ApiModel):
    """Reward of an answer: 0 or 1 by the expected one in `data.columns.completion`, or the score of a reward model."""

    rules = (
        Rule(
            cel="(self.type == 'Model') == has(self.uri)",
            holds=lambda reward: (reward.uri is not None) is (reward.type is RewardType.MODEL),
            field="uri",
            message="type Model needs the uri of a reward model, and no other type has one",
        ),
        Rule(
            cel="!has(self.uri) || !self.uri.startsWith('hf://')",
            holds=lambda reward: not (reward.uri or "").startswith("hf://"),
            field="uri",
            message="a reward model is the result of a job: write finetunejob://NAME, or the address of its output",
        ),
        _where_given(CLAIM_RULE, "a reward model in a claim is named pvc://CLAIM/PATH; use a path without . and .."),
        _where_given(PARENT_RULE, "a job that made a reward model is named finetunejob://NAME, in the same namespace"),
    )

    type: RewardType
    """`ExactMatch`: the words are those of the expected answer. `NumberMatch`: its last number has the value of the
    expected answer's last number. `Contains`: the expected words occur in it. Each looks only behind
    `evaluation.generation.answerAfter`, where that is given. `Model`: a model of task RewardModel scores it."""

    uri: RewardUri | None = None
    """The job that trains the reward model (`Model`), `finetunejob://name`, which is waited for; or its output folder:
    `s3://`, `gs://`, `az://`, `pvc://claim/path` or `file://`. It is verified by its manifest."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of its store; for a `finetunejob://` in place of that of its output."""

    @property
    def is_checked(self) -> bool:
        """Whether answers are compared with expected ones."""
        return self.type is not RewardType.MODEL


_KL_COEFFICIENT = 0.04
_KL_COEFFICIENT_OF_ANSWERS = 0.05


class Policy(ApiModel):
    """Policy optimization (TRL's `GRPOConfig`): sampled answers that are better than their group become likelier."""

    algorithm: PolicyAlgorithm = PolicyAlgorithm.GRPO
    """`GRPO` (arXiv:2402.03300): advantages are rewards normalized by the standard deviation of the prompt's group,
    per token. `RLOO` (arXiv:2402.14740): each reward minus the mean of the others, per
    answer."""

    reward: Reward
    """Reward function."""

    num_generations: Annotated[int, Field(ge=2, le=64)] = 8
    """Answers sampled per prompt, the group (`num_generations`); their rewards are compared with each other."""

    temperature: Annotated[float, Field(gt=0, le=5)] = 1
    """Sampling temperature (`temperature`); the trained probabilities are computed at it too."""

    top_p: Annotated[float, Field(gt=0, le=1)] = 1
    """Nucleus sampling (`top_p`): sample from the likeliest tokens with this total probability; 1 means all."""

    max_new_tokens: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Longest sampled answer in tokens (`max_completion_length`). Left out, it is
    `evaluation.generation.maxNewTokens`."""

    kl_coefficient: Annotated[float, Field(ge=0, le=100)] | None = None
    """KL penalty against the reference model (`beta`), per nat of KL divergence: of the mean token (GRPO, default 0.04)
    or of the whole answer (RLOO, default 0.05). 0 means no penalty; method Full then keeps no frozen copy of the
    model."""

    clip_range: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Clip range of the probability ratio in PPO's objective (`epsilon`, arXiv:1707.06347). Needs `numIterations`
    above 1: the first update has nothing to clip."""

    num_iterations: Annotated[int, Field(ge=1, le=64)] = 1
    """Updates per rollout (`num_iterations`), all within one step. Clipping matters from the second on."""

    @property
    def kl_price(self) -> float:
        """KL coefficient: `kl_coefficient`, or the algorithm's default."""
        if self.kl_coefficient is not None:
            return self.kl_coefficient
        return _KL_COEFFICIENT if self.algorithm is PolicyAlgorithm.GRPO else _KL_COEFFICIENT_OF_ANSWERS
