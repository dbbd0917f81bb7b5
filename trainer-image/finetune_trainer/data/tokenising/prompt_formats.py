"""How prompts and chats are put to a model: as text, in segments of which the answers are the model's to write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_trainer.data.records import Turn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = "{prompt}\n"
_PROMPT = "{prompt}"
_ANSWER = "assistant"
_WHERE = "spec.data.chatTemplate"


class Segment(NamedTuple):
    """A part of a row's text."""

    text: str
    is_answer: bool
    """Whether the model is to write it."""


class PromptFormat(Protocol):
    """The form that a model gets prompts in."""

    @property
    def is_framed(self) -> bool:
        """Whether the tokenizer's own tokens stand around the text, and an end of text behind its last answer."""

    def opening(self, turns: Sequence[Turn]) -> str:
        """Everything up to where the model is to answer; the last turn is not the assistant's."""

    def segments(self, turns: Sequence[Turn]) -> list[Segment]:
        """The whole text; the last turn, and so the last segment, is an answer."""


@dataclass(frozen=True)
class PlainPrompt:
    """A prompt in a template, the completion right behind it."""

    template: str

    @property
    def is_framed(self) -> bool:
        """See `PromptFormat.is_framed`."""
        return True

    def opening(self, turns: Sequence[Turn]) -> str:
        """See `PromptFormat.opening`: only the first turn counts."""
        return self.template.replace(_PROMPT, turns[0][1])

    def segments(self, turns: Sequence[Turn]) -> list[Segment]:
        """See `PromptFormat.segments`."""
        return [Segment(self.opening(turns[:-1]), is_answer=False), Segment(turns[-1][1], is_answer=True)]


@dataclass(frozen=True)
class ChatPrompt:
    """Messages in the chat template of the tokenizer, which writes all special tokens by itself."""

    tokenizer: "PreTrainedTokenizerBase"
    every_answer: bool
    """Whether all messages of the assistant are segments of their own, or only the last."""

    @property
    def is_framed(self) -> bool:
        """See `PromptFormat.is_framed`."""
        return False

    def opening(self, turns: Sequence[Turn]) -> str:
        """See `PromptFormat.opening`. Raises `SpecInvalid` where the template can't render the messages."""
        return self._render(turns, to_be_answered=True)

    def segments(self, turns: Sequence[Turn]) -> list[Segment]:
        """See `PromptFormat.segments`.

        An answer begins where the template asks for one and ends with what it writes behind it, its end-of-turn token
        above all. Raises `SpecInvalid` for a template that writes earlier messages in another way once others follow.
        """
        whole, segments, done = self._render(turns), list[Segment](), 0
        last = len(turns) - 1
        for index, (role, _) in enumerate(turns):
            if role != _ANSWER or (index < last and not self.every_answer):
                continue
            before, after = self.opening(turns[:index]), self._render(turns[: index + 1])
            if not (whole.startswith(before) and whole.startswith(after) and done <= len(before) < len(after)):
                raise self._changing(is_last=index == last)
            segments += [
                Segment(whole[done : len(before)], is_answer=False),
                Segment(whole[len(before) : len(after)], is_answer=True),
            ]
            done = len(after)
        return segments

    def _render(self, turns: Sequence[Turn], *, to_be_answered: bool = False) -> str:
        from jinja2 import TemplateError

        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=to_be_answered)
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            roles = ", ".join(role for role, _ in turns[:6])
            message = f"the chat template can't write messages of {roles}: {said}"
            raise SpecInvalid(message, where=_WHERE, hint="give a template that can, or change the messages") from error
        return str(text)

    def _changing(self, *, is_last: bool) -> SpecInvalid:
        if is_last:
            message = "the chat template writes a prompt in another way once it is answered"
            return SpecInvalid(message, where=_WHERE, hint="give a template that ends a prompt as an answer begins")
        message = (
            "the chat template writes earlier messages in another way once others follow: answers have no fixed place"
        )
        hint = "use training.lossOn: Completion, which learns the last answer only, or give another template"
        return SpecInvalid(message, where=_WHERE, hint=hint)


def prompt_format(
    tokenizer: "PreTrainedTokenizerBase", template: str | None, *, is_chat: bool, every_answer: bool
) -> PromptFormat:
    """The form for these rows: a template of the job's, the tokenizer's chat template, or prompt and line break.

    Raises `ModelUnsuitable` for chats where the tokenizer has no chat template.
    """
    if is_chat and not tokenizer.chat_template:
        message, hint = (
            "the rows are chats, and the model has no chat template",
            "give one, or use a model that has one",
        )
        raise ModelUnsuitable(message, where=_WHERE, hint=hint)
    if is_chat or (tokenizer.chat_template and template is None):
        return ChatPrompt(tokenizer, every_answer)
    return PlainPrompt(template or PLAIN_TEMPLATE)
