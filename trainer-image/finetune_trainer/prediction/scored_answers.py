"""`RewardModel`: a score for each answer to a prompt; higher is better, and only differences mean something."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Turn, cell_text
from finetune_trainer.data.shapes.chats import as_text, read_turns
from finetune_trainer.training.rewarding import score_chats

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel

_ANSWER = "assistant"


@dataclass(frozen=True)
class ScoredAnswer:
    """What the model thinks of one answer."""

    turns: tuple[Turn, ...]
    """The prompt, or the messages up to the answer, and the answer."""
    is_chat: bool
    score: float

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        if self.is_chat:
            messages = [{"role": role, "content": content} for role, content in self.turns]
            return {"messages": messages, "score": self.score}
        return {"prompt": self.turns[0][1], "completion": self.turns[-1][1], "score": self.score}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: messages as JSON."""
        flat = self.as_dict()
        return flat | ({"messages": json.dumps(flat["messages"], ensure_ascii=False)} if self.is_chat else {})

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        asked, answer = self.turns[:-1], self.turns[-1][1]
        return {
            "prompt": as_text(asked) if self.is_chat else asked[0][1],
            "completion": answer,
            "score": f"{self.score:.3f}",
        }


class AnswerScorer:
    """A tuned reward model."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, columns = tuned, tuned.settings.columns
        self._is_chat = not columns.prompt
        prompt = {"messages": columns.messages or "messages"} if self._is_chat else {"prompt": columns.prompt}
        self._answer = columns.completion or "completion"
        self._roles = prompt if self._is_chat else {**prompt, "completion": self._answer}

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`: a bare line lacks either the prompt or the answer, which is told."""
        return next(iter(self._roles.values()))

    def roles(self, _found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`: a prompt with its answer, or messages that end with the answer."""
        return self._roles

    def read(self, row: Row) -> tuple[Turn, ...] | Bad:
        """See `Predictor.read`: the answer comes last."""
        clean = self._tuned.settings.clean
        if self._is_chat:
            return self._messages(row)
        prompt = cell_text(row, self._roles["prompt"], clean)
        if isinstance(prompt, Bad):
            return prompt
        answer = cell_text(row, self._answer, clean)
        return answer if isinstance(answer, Bad) else (("user", prompt), (_ANSWER, answer))

    def predict(self, rows: Sequence[tuple[Turn, ...]]) -> Iterator[ScoredAnswer]:
        """See `Predictor.predict`."""
        for turns, score in zip(rows, score_chats(self._tuned, rows), strict=True):
            yield ScoredAnswer(turns, self._is_chat, round(float(score), 6))

    def _messages(self, row: Row) -> tuple[Turn, ...] | Bad:
        """Messages that end with the assistant's; where the answer has a column of its own, it is put behind them."""
        turns = read_turns(row, self._roles["messages"], self._tuned.settings.clean)
        if isinstance(turns, Bad):
            return turns
        if turns[-1][0] != _ANSWER and self._answer in row.values:
            answer = cell_text(row, self._answer, self._tuned.settings.clean)
            return answer if isinstance(answer, Bad) else (*turns, (_ANSWER, answer))
        if turns[-1][0] != _ANSWER:
            return Bad(
                row.place, "no answer to be scored", f"neither a last message of the assistant nor {self._answer}"
            )
        return turns
