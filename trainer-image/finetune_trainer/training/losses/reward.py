"""Bradley-Terry ranking loss of reward models, and scores of pairs and of single answers."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.data.chat import USER, Chat, Turn
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.answer_tokens import tokenise_answers
from finetune_trainer.data.tokenising.collate import RowSource, TokenRows
from finetune_trainer.data.tokenising.prompt_formats import prompt_format
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import Outputs, predict_logits, run_rows
from finetune_trainer.training.losses.preference import ranking_losses, side_by_side

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel

SCORES = "scores"
RewardOf = Callable[[Sequence[str], Sequence[str]], list[float]]
"""Prompts and their answers to a score each."""


class RankingLoss:
    """-log sigmoid of chosen minus rejected score, with label smoothing (Bradley and Terry 1952)."""

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = smoothing

    def to(self, _device: torch.device) -> "RankingLoss":
        """See `Loss.to`."""
        return self

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`: the number of pairs."""
        return float(len(rows))

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:  # noqa: ARG002 -- as all losses
        """See `Loss.total`: one pass for both answers."""
        scores = side_by_side(model(**inputs).logits.float().squeeze(-1))
        return ranking_losses(scores[:, 0] - scores[:, 1], self._smoothing).sum()


def score_pairs(model: nn.Module, rows: RowSource, monitor: Monitor | None = None) -> Outputs:
    """Scores of both answers of each pair as `scores` [n, 2] in FP32, the chosen one first."""

    def look(batch: dict[str, Tensor]) -> Outputs:
        return {SCORES: side_by_side(model(**batch).logits.float().squeeze(-1)).cpu().numpy()}

    return run_rows(model, rows, look, monitor)


def score_chats(tuned: "TunedModel", chats: Sequence[Chat]) -> NDArray[np.float64]:
    """Scores of chats that end with an answer, [n].

    Raises `SpecInvalid` where the model's chat template can't write them.
    """
    settings, tokenizer = tuned.settings, tuned.tokenizer
    is_chat = not settings.columns.prompt
    form = prompt_format(
        tokenizer,
        settings.prompt_template,
        is_chat=is_chat,
        every_answer=False,
        spelled_as_text=settings.split_special_tokens is not False,
    )
    tokens = tokenise_answers(chats, form, tokenizer, settings.max_length, labelled=False)
    return predict_logits(tuned.model, TokenRows(tokens, int(tokenizer.pad_token_id)))[:, 0].astype(np.float64)


def reward_of(tuned: "TunedModel") -> RewardOf:
    """A function from prompts and answers (texts, one answer per prompt) to scores of the model."""

    def score(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        asked = [Chat((Turn(USER, prompt),)) for prompt in prompts]
        chats = [chat.answered(answer) for chat, answer in zip(asked, answers, strict=True)]
        return score_chats(tuned, chats).tolist() if chats else []

    return score
