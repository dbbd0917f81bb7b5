"""`RewardModel`: a score per answer; higher is better, only differences are meaningful."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_trainer.data.chat import Chat, as_messages
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.shapes.chat_rows import ChatReader
from finetune_trainer.data.shapes.chats import answer_turns
from finetune_trainer.data.shapes.layouts import MESSAGES
from finetune_trainer.training.losses.reward import score_chats

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel

_ANSWER = "assistant"


@dataclass(frozen=True)
class ScoredAnswer:
    """Score of one answer."""

    turns: Chat
    """The prompt, or the messages up to the answer, and the answer."""
    is_chat: bool
    score: float

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        if self.is_chat:
            return {**as_messages(self.turns), "score": self.score}
        return {"prompt": self.turns[-2].content, "completion": self.turns[-1].content, "score": self.score}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: messages as JSON, without the variables that only some rows have."""
        further = self.turns.parsed_variables
        return {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
            for key, value in self.as_dict().items()
            if key not in further
        }

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        asked, answer = self.turns[:-1], self.turns[-1].text
        return {
            "prompt": asked.text if self.is_chat else asked[-1].content,
            "completion": answer,
            "score": f"{self.score:.3f}",
        }


class RewardModelPredictor:
    """A fine-tuned reward model."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, columns = tuned, tuned.settings.columns
        self._reader = ChatReader(columns, tuned.settings.clean)
        self._is_chat = not columns.prompt
        prompt = {"messages": columns.messages or "messages"} if self._is_chat else {"prompt": columns.prompt}
        self._answer = columns.completion or "completion"
        self._roles = prompt if self._is_chat else {**prompt, "completion": self._answer}

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`: a bare line lacks prompt or answer, which is reported."""
        return next(iter(self._roles.values()))

    def roles(self, found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`: a prompt with its answer, or messages that end with the answer."""
        if self._is_chat and self._roles["messages"] not in found:
            return {"messages": next((name for name in MESSAGES if name in found), self._roles["messages"])}
        return self._roles

    def read(self, row: Row) -> Chat | Bad:
        """See `Predictor.read`: the answer comes last."""
        clean = self._tuned.settings.clean
        if self._is_chat:
            return self._messages(row)
        prompt = cell_text(row, self._roles["prompt"], clean)
        if isinstance(prompt, Bad):
            return prompt
        answer = cell_text(row, self._answer, clean)
        chat = self._reader.prompt(row, prompt)
        if isinstance(answer, Bad) or isinstance(chat, Bad):
            return answer if isinstance(answer, Bad) else chat
        return chat.answered(answer)

    def predict(self, rows: Sequence[Chat]) -> Iterator[ScoredAnswer]:
        """See `Predictor.predict`."""
        for turns, score in zip(rows, score_chats(self._tuned, rows), strict=True):
            yield ScoredAnswer(turns, self._is_chat, round(float(score), 6))

    def _messages(self, row: Row) -> Chat | Bad:
        """Messages that end with the assistant's; an answer in a column of its own is appended."""
        chat = self._reader.messages(row, self.roles(list(row.values))["messages"])
        if isinstance(chat, Bad):
            return chat
        if chat[-1].role != _ANSWER and self._answer in row.values:
            answers = answer_turns(row, self._answer, self._tuned.settings.clean)
            return answers if isinstance(answers, Bad) else chat.then(*answers)
        if chat[-1].role != _ANSWER:
            return Bad(
                row.place, "no answer to be scored", f"neither a last message of the assistant nor {self._answer}"
            )
        return chat
