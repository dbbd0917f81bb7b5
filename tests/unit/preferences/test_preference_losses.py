"""Losses over pairs: values by hand, gradients against one pair at a time, and what they are before training."""

from collections.abc import Callable
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from finetune_api.preference import Preference
from finetune_trainer.data.tokenising.collate import SeveralTexts, TokenRows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.training.losses.preference import (
    PairLoss,
    Pairs,
    pair_losses,
    rewards,
    sequence_logprobs,
    share_ahead,
)
from finetune_trainer.training.losses.reward import RankingLoss

LOSSES = ("DPO", "Hinge", "IPO", "SimPO", "ORPO")
WON, LOST, BEFORE = -8.0, -15.0, (-10.0, -12.0)
PAIRS = Pairs(torch.tensor([[WON, LOST]]), torch.tensor([[4, 5]]), torch.tensor([BEFORE]))
GAINED = (WON - BEFORE[0]) - (LOST - BEFORE[1])


def settings(loss: str, **more: Any) -> Preference:
    return Preference.model_validate({"loss": loss, **more})


def pairs_for(chosen: Preference, pairs: Pairs = PAIRS) -> Pairs:
    return pairs if chosen.has_reference else Pairs(pairs.log_probabilities, pairs.tokens)


def sigmoid_loss(margin: float) -> float:
    return log(1 + exp(-margin))


def log_odds(mean: float) -> float:
    return mean - log(1 - exp(mean))


@pytest.mark.parametrize(
    ("chosen", "smoothing", "expected"),
    [
        (settings("DPO"), 0.0, sigmoid_loss(0.1 * GAINED)),
        (settings("DPO", beta=0.5), 0.0, sigmoid_loss(0.5 * GAINED)),
        (settings("DPO"), 0.2, 0.8 * sigmoid_loss(0.1 * GAINED) + 0.2 * sigmoid_loss(-0.1 * GAINED)),
        (settings("DPO", answerWeight=0.5), 0.0, sigmoid_loss(0.1 * GAINED) + 0.5 * 8 / 4),
        (settings("Hinge"), 0.0, 1 - 0.1 * GAINED),
        (settings("Hinge", beta=1), 0.0, 0.0),
        (settings("IPO"), 0.0, (2 / 4 - -3 / 5 - 1 / (2 * 0.1)) ** 2),
        (settings("SimPO"), 0.0, sigmoid_loss(2 * (-8 / 4 - -15 / 5) - 1)),
        (settings("SimPO", margin=0, beta=1), 0.0, sigmoid_loss(-8 / 4 - -15 / 5)),
        (settings("ORPO"), 0.0, 8 / 4 + 0.1 * sigmoid_loss(log_odds(-8 / 4) - log_odds(-15 / 5))),
    ],
    ids=repr,
)
def test_a_loss_is_what_its_paper_says(chosen: Preference, smoothing: float, expected: float) -> None:
    assert pair_losses(pairs_for(chosen), chosen, smoothing).tolist() == pytest.approx([expected], rel=1e-6)


def test_rewards_are_what_is_gained_over_the_reference() -> None:
    assert rewards(PAIRS, settings("DPO")).tolist() == [pytest.approx([0.2, -0.3])]
    assert rewards(PAIRS, settings("IPO")).tolist() == [pytest.approx([0.1 * 2 / 4, 0.1 * -3 / 5])]
    assert rewards(pairs_for(settings("SimPO")), settings("SimPO")).tolist() == [pytest.approx([-4.0, -6.0])]


def test_a_tie_counts_half() -> None:
    assert share_ahead(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0], [5.0, 1.0]])) == 2.5 / 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"loss": "DPO", "margin": 1}, "margin belongs to loss SimPO"),
        ({"loss": "ORPO", "answerWeight": 1}, "learns the preferred answer anyway"),
        ({"beta": 0}, "greater than 0"),
        ({"loss": "PPO"}, "'DPO', 'Hinge', 'IPO', 'SimPO' or 'ORPO'"),
    ],
)
def test_settings_that_fit_no_loss_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Preference.model_validate(given)


@pytest.fixture(scope="module")
def model(tiny_model: Callable[..., Path]) -> Any:
    """A random GPT-2 with dropout off."""
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_pretrained(tiny_model("gpt2"))


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    """Six pairs of random texts of unlike lengths, each with a prompt that both have in front."""
    random = np.random.default_rng(5)
    texts, labels = list[list[int]](), list[int]()
    for _ in range(6):
        prompt = random.integers(1, 200, random.integers(1, 9)).tolist()
        for length in random.integers(2, 12, 2):
            answer = random.integers(1, 200, length).tolist()
            texts.append([*prompt, *answer])
            labels += [*[IGNORE_INDEX] * len(prompt), *answer]
    lengths = np.asarray([len(text) for text in texts])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.asarray([token for text in texts for token in text], np.int32)
    return Tokens(ids, offsets, lengths, None, np.asarray(labels, np.int32), texts_a_row=2)


def by_hand(model: nn.Module, tokens: Tokens, text: int) -> tuple[Tensor, int]:
    """Log-probability of one answer, alone and without padding, and its length."""
    part = slice(int(tokens.offsets[text]), int(tokens.offsets[text + 1]))
    ids, labels = torch.from_numpy(tokens.ids[part]).long(), torch.from_numpy(tokens.labels[part])  # type: ignore[index]
    steps = model(input_ids=ids[None]).logits[0, :-1].log_softmax(dim=-1)
    found = [steps[at - 1, int(ids[at])] for at in range(1, len(ids)) if labels[at] != IGNORE_INDEX]
    return torch.stack(found).sum(), len(found)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_one_pair_at_a_time(model: Any, tokens: Tokens, loss: str) -> None:
    chosen, rows = settings(loss), SeveralTexts(TokenRows(tokens, 0), 2)
    reference = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)) - 40
    term = PairLoss(chosen, 0.0, reference if chosen.has_reference else None)
    parts = [np.asarray([0, 3, 4]), np.asarray([5, 1]), np.asarray([2])]
    total = torch.stack([term.total(model, rows.collate(part), part) for part in parts]).sum()
    ours = gradients(model, total / term.weight(np.arange(6)))

    losses = []
    for pair in range(6):
        won, lost = by_hand(model, tokens, 2 * pair), by_hand(model, tokens, 2 * pair + 1)
        both, lengths = torch.stack([won[0], lost[0]])[None], torch.tensor([[won[1], lost[1]]])
        losses.append(pair_losses(pairs_for(chosen, Pairs(both, lengths, reference[pair][None])), chosen))
    naive = gradients(model, torch.cat(losses).mean())
    assert ours.keys() == naive.keys()
    assert all(torch.allclose(ours[name], naive[name], rtol=1e-3, atol=1e-6) for name in ours)


def test_before_the_first_step_the_loss_is_that_of_equal_rewards(model: Any, tokens: Tokens) -> None:
    rows = SeveralTexts(TokenRows(tokens, 0), 2)
    reference = torch.from_numpy(np.ascontiguousarray(sequence_logprobs(model, rows)["logProbabilities"])).float()
    everything = np.arange(6)
    for loss, expected in (("DPO", log(2)), ("Hinge", 1.0), ("IPO", 25.0)):
        term = PairLoss(settings(loss), 0.0, reference)
        found = term.total(model, rows.collate(everything), everything) / term.weight(everything)
        assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


def test_answers_are_weighed_alike_in_any_batch(model: Any, tokens: Tokens) -> None:
    rows = SeveralTexts(TokenRows(tokens, 0), 2)
    found = sequence_logprobs(model, rows)
    assert rows.lengths.tolist() == [2 * int(pair.max()) for pair in tokens.lengths.reshape(-1, 2)]
    for pair in range(6):
        for side in range(2):
            log_probability, length = by_hand(model, tokens, 2 * pair + side)
            assert found["logProbabilities"][pair, side] == pytest.approx(float(log_probability.detach()), rel=1e-4)
            assert found["tokens"][pair, side] == length


def test_a_reward_model_loses_by_how_far_the_wrong_answer_is_ahead() -> None:
    class Scores(nn.Module):
        def forward(self, scores: Tensor) -> Any:
            return type("Output", (), {"logits": scores[:, None]})

    rows = np.arange(2)
    inputs = {"scores": torch.tensor([1.0, 0.0, -1.0, 3.0])}
    assert float(RankingLoss().total(Scores(), inputs, rows)) == pytest.approx(sigmoid_loss(2) + sigmoid_loss(-3))
    smoothed = 0.9 * (sigmoid_loss(2) + sigmoid_loss(-3)) + 0.1 * (sigmoid_loss(-2) + sigmoid_loss(3))
    assert float(RankingLoss(0.1).total(Scores(), inputs, rows)) == pytest.approx(smoothed)
