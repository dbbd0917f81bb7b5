"""`CausalLM`: text generated after a text, a prompt or the messages of a chat."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune_api.evaluation import Generation
from finetune_trainer.data.chat import ASSISTANT, Chat, as_messages
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.data.shapes.chat_rows import ChatReader
from finetune_trainer.data.shapes.layouts import MESSAGES
from finetune_trainer.data.shapes.prompts import read_prompt
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat, prompt_format
from finetune_trainer.data.tokenising.prompt_tokens import encode_openings
from finetune_trainer.data.tokenising.special_tokens import encode, special_tokens_of
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.training.generation.causal import GenerationSettings, generate_texts, stop_ids

if TYPE_CHECKING:
    from finetune_trainer.models.tuned import TunedModel

_ROLES = ("messages", "prompt", "text")


@dataclass(frozen=True)
class Given:
    """A text, prompt or chat to continue."""

    role: str
    """Which column it came from: `text`, `prompt` or `messages`."""
    turns: Chat


@dataclass(frozen=True)
class GeneratedText:
    """Text generated for one row."""

    given: Given
    written: str

    def as_dict(self) -> dict[str, Any]:
        """See `Prediction.as_dict`."""
        role, turns = self.given.role, self.given.turns
        given = as_messages(turns) if role == "messages" else {role: turns[-1].content}
        return {**given, "continuation" if role == "text" else "completion": self.written}

    def as_flat(self) -> dict[str, Any]:
        """See `Prediction.as_flat`: messages as JSON, without the variables that only some rows have."""
        further = self.given.turns.parsed_variables
        return {
            key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for key, value in self.as_dict().items()
            if key not in further
        }

    def as_cells(self) -> dict[str, str]:
        """See `Prediction.as_cells`."""
        role, turns = self.given.role, self.given.turns
        return {**self.as_dict(), role: turns.text if role == "messages" else turns[-1].content}


class CausalLMPredictor:
    """A fine-tuned causal language model."""

    def __init__(self, tuned: "TunedModel") -> None:
        self._tuned, settings = tuned, tuned.settings
        self._role = next((role for role in _ROLES if getattr(settings.columns, role)), "text")
        self._generation = settings.generation or Generation()
        self._reader = ChatReader(settings.columns, settings.clean)
        self._form: PromptFormat | None = None
        if self._role != "text":
            is_chat = self._role == "messages"
            self._form = prompt_format(
                tuned.tokenizer,
                settings.prompt_template,
                is_chat=is_chat,
                every_answer=False,
                spelled_as_text=settings.split_special_tokens is not False,
            )

    @property
    def line_column(self) -> str:
        """See `Predictor.line_column`: a bare line is a user message."""
        return "prompt" if self._role == "messages" else self._column(self._role)

    def roles(self, found: Sequence[str]) -> dict[str, str]:
        """See `Predictor.roles`: models of chats take single prompts as well."""
        if self._role == "messages" and self._column("messages") not in found and self.line_column in found:
            return {"prompt": self.line_column}
        if self._role == "messages" and self._column("messages") not in found:
            other = next((name for name in MESSAGES if name in found), self._column("messages"))
            return {"messages": other}
        return {self._role: self._column(self._role)}

    def read(self, row: Row) -> Given | Bad:
        """See `Predictor.read`."""
        clean, further = self._tuned.settings.clean, self._tuned.settings.columns.input
        roles = self.roles(list(row.values))
        if "messages" in roles:
            return self._writable(_unanswered(self._reader.messages(row, roles["messages"]), row), row)
        if further and further in row.values:
            roles["input"] = further
        role = "prompt" if "prompt" in roles else "text"
        text = read_prompt(row, roles, clean) if role == "prompt" else cell_text(row, roles["text"], clean)
        if isinstance(text, Bad) or role == "text":
            return text if isinstance(text, Bad) else Given(role, Chat.of(("user", text)))
        chat = self._reader.prompt(row, text)
        return chat if isinstance(chat, Bad) else self._writable(Given(role, chat), row)

    def predict(self, rows: Sequence[Given]) -> Iterator[GeneratedText]:
        """See `Predictor.predict`."""
        model, tokenizer = self._tuned.model, self._tuned.tokenizer
        generation = GenerationSettings(tokenizer, self._generation, stop_ids(model, tokenizer, self._form))
        prompts = [np.asarray(ids, np.int64) for ids in self._openings([row.turns for row in rows])]
        for given, text in zip(rows, generate_texts(model, prompts, generation), strict=True):
            yield GeneratedText(given, text if given.role == "text" else text.strip())

    def _openings(self, rows: Sequence[Chat]) -> list[list[int]]:
        """Tokens of the prompts, with room left for generation."""
        longest, prefix = self._tuned.settings.max_length, self._tuned.settings.prefix
        rows = [chat.prefixed(prefix) for chat in rows]
        limit = longest - min(self._generation.max_new_tokens, longest // 2)
        if self._form is not None:
            return encode_openings(rows, self._form, self._tuned.tokenizer, limit)
        opening = list(special_tokens_of(self._tuned.tokenizer).opening)
        tokenizer = text_tokenizer(self._tuned.tokenizer, split=self._tuned.settings.split_special_tokens)
        texts = encode([chat[0].content for chat in rows], tokenizer)
        return [[*opening, *ids[-(limit - len(opening)) :]] for ids in texts]

    def _writable(self, given: Given | Bad, row: Row) -> Given | Bad:
        """The chat to answer, or the reason the chat template can't render it."""
        if isinstance(given, Bad) or self._form is None:
            return given
        refusal = self._form.refusal(given.turns)
        return given if refusal is None else Bad(row.place, *refusal)

    def _column(self, role: str) -> str:
        return getattr(self._tuned.settings.columns, role) or role


def _unanswered(turns: Chat | Bad, row: Row) -> Given | Bad:
    if isinstance(turns, Bad):
        return turns
    if turns[-1].role == ASSISTANT:
        return Bad(row.place, "the last message is the assistant's: there is nothing to answer")
    return Given("messages", turns)
