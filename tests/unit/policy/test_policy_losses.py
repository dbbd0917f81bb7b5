"""The losses by hand-made figures: advantages, clipping, the price of divergence, and who gets the gradient."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.failures import LossDiverged
from finetune_api.policy import Policy, PolicyAlgorithm
from finetune_trainer.data.tokenising.batches import Volume
from finetune_trainer.training.generation.rollouts import (
    TokenLogProbs,
    answer_batch,
    reference_policy_of,
    token_logprobs,
)
from finetune_trainer.training.losses.policy import PolicyLoss, RolloutEnv, Rollouts, advantages, policy_losses
from finetune_trainer.training.speedups.labelled_logits import LabelledLogits, labelled_logits

REWARD = {"type": "Contains"}
ALWAYS_SEVEN = RolloutEnv(
    lambda rows: [np.asarray([5, 6])] * len(rows),
    lambda _model, prompts: [np.asarray([7])] * len(prompts),
    lambda _rows, answers: [0.0] * len(answers),
)
"""Where every answer is the token 7, and worth nothing."""


def settings(**fields: Any) -> Policy:
    return Policy.model_validate({"reward": REWARD, **fields})


def rollouts(gains: torch.Tensor, before: torch.Tensor, reference: torch.Tensor | None = None) -> Rollouts:
    return Rollouts({}, gains, reference, before)


def test_rloo_compares_with_the_mean_of_the_others() -> None:
    found = advantages(torch.tensor([[1.0, 0.0, 0.0], [2.0, 2.0, 5.0]]), PolicyAlgorithm.RLOO)
    assert torch.allclose(found, torch.tensor([[1.0, -0.5, -0.5], [-1.5, -1.5, 3.0]]))


def test_grpo_measures_in_deviations_and_gives_nothing_for_equal_rewards() -> None:
    found = advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [3.0, 3.0, 3.0, 3.0]]), PolicyAlgorithm.GRPO)
    assert torch.allclose(found[0], torch.tensor([0.866, -0.866, -0.866, 0.866]), atol=1e-3)
    assert torch.equal(found[1], torch.zeros(4))


def test_a_better_answer_gets_likelier_until_it_is_clipped() -> None:
    """The gradient vanishes for a ratio that has gone beyond the range in the rewarded direction, and only then."""
    before = torch.zeros(4, 1)
    now = torch.tensor([[0.0], [0.5], [-0.5], [0.5]], requires_grad=True)
    gains = torch.tensor([1.0, 1.0, -1.0, -1.0])
    losses = policy_losses(TokenLogProbs(now, torch.ones(4, 1)), rollouts(gains, before), settings(klCoefficient=0))
    losses.sum().backward()
    assert now.grad is not None
    assert torch.allclose(losses.detach(), torch.tensor([-1.0, -1.2, 0.8, 1.6487]), atol=1e-4)
    assert torch.allclose(now.grad[:, 0], torch.tensor([-1.0, 0.0, 0.0, 1.6487]), atol=1e-4)


def test_grpo_weighs_tokens_within_an_answer_and_rloo_whole_answers() -> None:
    now = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.0, 0.0]])
    weighed = TokenLogProbs(now, torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    drawn = rollouts(torch.ones(2), torch.zeros(2, 3))
    by_token = policy_losses(weighed, drawn, settings(klCoefficient=0, clipRange=0.9))
    by_answer = policy_losses(weighed, drawn, settings(algorithm="RLOO", clipRange=0.9))
    assert torch.allclose(by_token, -torch.exp(torch.tensor([0.1, 0.1])))
    assert torch.allclose(by_answer, -torch.exp(torch.tensor([0.3, 0.1])))


def test_divergence_has_its_price_in_both_directions() -> None:
    now, reference = torch.tensor([[-1.0], [-2.0]]), torch.tensor([[-2.0], [-1.0]])
    drawn = rollouts(torch.zeros(2), now, reference)
    losses = policy_losses(TokenLogProbs(now, torch.ones(2, 1)), drawn, settings(klCoefficient=0.5))
    assert torch.allclose(losses, 0.5 * torch.tensor([np.exp(-1) + 1 - 1, np.exp(1) - 1 - 1], dtype=torch.float32))


@pytest.mark.parametrize("algorithm", list(PolicyAlgorithm))
def test_what_is_rewarded_gets_likelier_and_the_reference_stays(
    tiny_model: Callable[..., Path], algorithm: PolicyAlgorithm
) -> None:
    """Ten steps of gradient descent by hand: odd tokens are worth 1, even ones 0."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))
    reference = reference_policy_of(model)
    prompts = [np.asarray([5, 6, 9])] * 2
    torch.manual_seed(1)

    def write(policy: Any, asked: Any) -> list[Any]:
        logits = policy(torch.from_numpy(np.stack(asked))).logits[:, -1].detach()
        return [np.append(draw, 0) for draw in torch.multinomial(logits.softmax(-1), 1).numpy()]

    def judge(_rows: Any, answers: Any) -> list[float]:
        return [float(answer[0] % 2) for answer in answers]

    inputs = {"input_ids": torch.from_numpy(np.stack(prompts)), "attention_mask": torch.ones(2, 3, dtype=torch.long)}
    loss = PolicyLoss(
        settings(algorithm=algorithm, numGenerations=32),
        RolloutEnv(lambda _rows: prompts, write, judge),
        reference,
        pad_id=0,
    )
    optimizer, rewards, rows = torch.optim.SGD(model.parameters(), lr=0.1), [], np.arange(2)
    asked = {**inputs, "labels": inputs["input_ids"]}
    before = reference(model, asked).losses()
    for _ in range(10):
        _step(loss, model, inputs, rows).backward()
        optimizer.step()
        optimizer.zero_grad()
        rewards.append(loss.step_metrics().figures["meanReward"])
    assert max(rewards[5:]) > rewards[0] + 0.2
    assert torch.equal(reference(model, asked).losses(), before)


def _step(loss: PolicyLoss, model: Any, inputs: dict[str, torch.Tensor], rows: Any) -> torch.Tensor:
    weight = loss.weight(rows)
    return loss.total(model, inputs, rows) / weight


def test_answers_are_weighed_as_they_were_sampled(tiny_model: Callable[..., Path]) -> None:
    """Right padding and a temperature give each token the probability that it was drawn with."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2")).eval()
    prompts, answers = [np.asarray([5, 6, 9, 11]), np.asarray([8])], [np.asarray([7]), np.asarray([3, 4, 0])]
    batch = answer_batch(prompts, answers, pad_id=0)
    weighed = token_logprobs(labelled_logits(model, batch, shift=True), temperature=2.0)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        logits = model(torch.from_numpy(np.concatenate([prompt, answer]))[None]).logits[0] / 2.0
        places = np.arange(len(prompt) - 1, len(prompt) + len(answer) - 1)
        expected = logits.log_softmax(-1)[places, answer]
        found = weighed.log_probabilities[row][weighed.counted[row] == 1]
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.causes("LossDiverged")
def test_a_model_that_falls_apart_is_not_trained_on(tiny_model: Callable[..., Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))
    inputs = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}

    def far_away(_model: Any, batch: dict[str, torch.Tensor]) -> LabelledLogits:
        seen = labelled_logits(model, batch, shift=True)
        far = torch.nn.functional.one_hot(torch.full_like(seen.labels, 3), 400).float() * 50
        return replace(seen, hidden=far, project=lambda logits: logits)

    loss = PolicyLoss(settings(), ALWAYS_SEVEN, far_away, pad_id=0)
    _step(loss, model, inputs, np.asarray([0]))
    with pytest.raises(LossDiverged, match="from the base model: it has collapsed") as failure:
        loss.step_metrics()
    assert "klCoefficient" in failure.value.problems[0].hint


def test_rewards_that_never_differ_are_told_once(tiny_model: Callable[..., Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))
    inputs = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}
    loss = PolicyLoss(settings(), ALWAYS_SEVEN, None, pad_id=0)
    warnings = []
    for _ in range(12):
        _step(loss, model, inputs, np.asarray([0]))
        warnings.append(loss.step_metrics().warning)
    assert [bool(warning) for warning in warnings] == [False] * 9 + [True] + [False] * 2
    assert "temperature" in warnings[9]


def test_tokens_that_were_written_are_counted_and_no_room_for_others(tiny_model: Callable[..., Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))
    inputs = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}
    lengths = (1, 4)
    world = RolloutEnv(
        lambda rows: [np.asarray([5, 6])] * len(rows),
        lambda _model, _prompts: [np.full(length, 7) for length in lengths],
        lambda _rows, answers: [float(len(answer)) for answer in answers],
    )
    loss = PolicyLoss(settings(numGenerations=2), world, None, pad_id=0)
    _step(loss, model, inputs, np.asarray([0]))
    assert loss.step_metrics().volume == Volume(tokens=3 + 6, padded=2 * 6)
