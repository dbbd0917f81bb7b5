"""Prompt formats: prompts and chats as text, in segments of which the answers are labelled."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_trainer.data.chat import ASSISTANT, SYSTEM, USER, Chat
from finetune_trainer.data.tokenising.chat_rendering import ChatTemplate, TemplateRefusesChat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = "{prompt}\n"
_PROMPT = "{prompt}"
TEMPLATE_FIELD = "spec.data.chatTemplate"


class Segment(NamedTuple):
    """A segment of a row's text."""

    text: str
    is_answer: bool
    """Whether the model is to write it."""
    is_excluded: bool = False
    """Whether it is an answer that is never learned, whatever else of the row is: `weight: 0`."""


class Refusal(NamedTuple):
    """Reason that a template can't render a chat; `kind` groups reasons."""

    kind: str
    detail: str


class PromptFormat(Protocol):
    """Interface of prompt formats."""

    @property
    def is_framed(self) -> bool:
        """Whether special tokens are added around the text, and an end of text after its last answer."""

    @property
    def spelled_as_text(self) -> bool:
        """Whether special tokens that rows spell are encoded as text."""

    @property
    def cache_key(self) -> tuple[object, ...]:
        """Cache key of what tokens depend on beside tokenizer and rows."""

    def opening(self, chat: Chat) -> str:
        """The text before the answer (generation prompt); the last turn is not the assistant's."""

    def segments(self, chat: Chat) -> list[Segment]:
        """The whole text in segments; the last turn, and so the last segment, is an answer."""

    def refusal(self, chat: Chat) -> Refusal | None:
        """Reason that the chat can't be rendered, if so; the last turn may be an answer or not."""


@dataclass(frozen=True)
class PlainPrompt:
    """A plain prompt template, followed directly by the completion.

    Without a chat template a system prompt stands in front, a blank line behind it, and earlier exchanges follow each
    other line by line.
    """

    template: str
    spelled_as_text: bool = True

    @property
    def is_framed(self) -> bool:
        """See `PromptFormat.is_framed`."""
        return True

    @property
    def cache_key(self) -> tuple[object, ...]:
        """See `PromptFormat.cache_key`."""
        return (repr(self),)

    def opening(self, chat: Chat) -> str:
        """See `PromptFormat.opening`."""
        return self.written(chat, "\n")

    def written(self, chat: Chat, mark: str) -> str:
        """Prompts in the template, each with its answer if any; `mark` follows answers."""
        return "".join(self._written(chat, mark))

    def segments(self, chat: Chat) -> list[Segment]:
        """See `PromptFormat.segments`."""
        return [Segment(self.opening(chat[:-1]), is_answer=False), Segment(chat[-1].text, is_answer=True)]

    def refusal(self, chat: Chat) -> Refusal | None:
        """See `PromptFormat.refusal`: plain text can't render tools."""
        if "tools" not in chat.parsed_variables:
            return None
        return Refusal("tools need a chat template", "the prompt is written without one")

    def _written(self, chat: Chat, mark: str) -> Iterator[str]:
        for turn in chat:
            if turn.role == ASSISTANT:
                yield turn.text + mark
            elif turn.role == SYSTEM:
                yield turn.content + "\n\n"
            else:
                yield self.template.replace(_PROMPT, turn.content)


@dataclass(frozen=True)
class ChatPrompt:
    """Messages in the tokenizer's chat template, which adds all special tokens itself."""

    tokenizer: "PreTrainedTokenizerBase"
    every_answer: bool
    """Whether all messages of the assistant are segments of their own, or only the last."""
    spelled_as_text: bool = True

    @property
    def is_framed(self) -> bool:
        """See `PromptFormat.is_framed`."""
        return False

    @property
    def cache_key(self) -> tuple[object, ...]:
        """See `PromptFormat.cache_key`."""
        return (self.template.source, self.every_answer, self.spelled_as_text)

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template."""
        return ChatTemplate(self.tokenizer)

    def opening(self, chat: Chat) -> str:
        """See `PromptFormat.opening`. Raises `SpecInvalid` where the template can't render the messages."""
        try:
            return self.template.text(chat, to_be_answered=True)
        except TemplateRefusesChat as refusal:
            raise _unwritable(chat, refusal) from refusal

    def segments(self, chat: Chat) -> list[Segment]:
        """See `PromptFormat.segments`.

        An answer is what the template marks by `{% generation %}`. Without marks, it begins where the template asks for
        one and ends with what it writes behind it, its end-of-turn token above all. Raises `SpecInvalid` for a
        template without marks that writes earlier messages in another way once others follow.
        """
        try:
            return self._marked(chat) if self.template.marks_answers else self._between(chat)
        except TemplateRefusesChat as refusal:
            raise _unwritable(chat, refusal) from refusal

    def refusal(self, chat: Chat) -> Refusal | None:
        """See `PromptFormat.refusal`."""
        is_answered = bool(chat) and chat[-1].role == ASSISTANT
        try:
            self.template.text(chat, to_be_answered=not is_answered)
            if is_answered:
                self.template.text(chat[:-1], to_be_answered=True)
        except TemplateRefusesChat as refusal:
            return Refusal("the chat template refuses the messages", str(refusal) or _roles(chat))
        return None

    def _between(self, chat: Chat) -> list[Segment]:
        whole, segments, done = self.template.text(chat), list[Segment](), 0
        last = len(chat) - 1
        for index in self._answers(chat):
            before = self.template.text(chat[:index], to_be_answered=True)
            after = whole if index == last else self.template.text(chat[: index + 1])
            if not (whole.startswith(before) and whole.startswith(after) and done <= len(before) < len(after)):
                raise self._changing(is_last=index == last)
            segments += _segments(whole, done, len(before), len(after), is_learned=chat[index].learned)
            done = len(after)
        return segments

    def _marked(self, chat: Chat) -> list[Segment]:
        """Segments by the template's `{% generation %}` marks, where there is one per answer; else as without marks."""
        whole, spans = self.template.answer_spans(chat)
        every = [index for index, turn in enumerate(chat) if turn.role == ASSISTANT]
        opening = self.template.text(chat[:-1], to_be_answered=True)
        if len(spans) != len(every) or not whole.startswith(opening) or spans[-1][1] <= len(opening):
            return self._between(chat)
        segments, done, wanted = list[Segment](), 0, set(self._answers(chat))
        for index, (start, end) in zip(every, spans, strict=True):
            if index not in wanted:
                continue
            begin = max(start, len(opening)) if index == every[-1] else start
            stop = self._with_end(whole, end)
            segments += _segments(whole, done, begin, stop, is_learned=chat[index].learned)
            done = stop
        return segments

    def _with_end(self, whole: str, end: int) -> int:
        """End of a marked answer, after the end-of-turn token that a template may render behind its mark."""
        ends = (token for token in self.tokenizer.all_special_tokens if whole.startswith(token, end))
        written_by_mark = any(whole.endswith(token, 0, end) for token in self.tokenizer.all_special_tokens)
        return end if written_by_mark else end + max(map(len, ends), default=0)

    def _answers(self, chat: Chat) -> list[int]:
        """Messages that are segments of their own: labelled answers, and answers never to be labelled."""
        last = len(chat) - 1
        return [
            index
            for index, turn in enumerate(chat)
            if turn.role == ASSISTANT and (index == last or self.every_answer or not turn.learned)
        ]

    def _changing(self, *, is_last: bool) -> SpecInvalid:
        if is_last:
            message = "the chat template writes a prompt in another way once it is answered"
            return SpecInvalid(
                message, where=TEMPLATE_FIELD, hint="give a template that ends a prompt as an answer begins"
            )
        message = (
            "the chat template writes earlier messages in another way once others follow: answers have no fixed place"
        )
        hint = "use training.lossOn: Completion, which learns the last answer only, or give another template"
        return SpecInvalid(message, where=TEMPLATE_FIELD, hint=hint)


def _segments(whole: str, done: int, start: int, end: int, *, is_learned: bool) -> list[Segment]:
    return [
        Segment(whole[done:start], is_answer=False),
        Segment(whole[start:end], is_answer=is_learned, is_excluded=not is_learned),
    ]


def _roles(chat: Chat) -> str:
    return ", ".join(turn.role for turn in chat[:6])


def _unwritable(chat: Chat, refusal: TemplateRefusesChat) -> SpecInvalid:
    message = f"the chat template can't write messages of {_roles(chat)}: {refusal}"
    return SpecInvalid(message, where=TEMPLATE_FIELD, hint="give a template that can, or change the messages")


def prompt_format(
    tokenizer: "PreTrainedTokenizerBase",
    template: str | None,
    *,
    is_chat: bool,
    every_answer: bool,
    spelled_as_text: bool = True,
) -> PromptFormat:
    """The format of these rows: the job's template, the tokenizer's chat template, or prompt and line break.

    Raises `ModelUnsuitable` for chats where the tokenizer has no chat template.
    """
    if is_chat and not tokenizer.chat_template:
        message, hint = (
            "the rows are chats, and the model has no chat template",
            "give one, or use a model that has one",
        )
        raise ModelUnsuitable(message, where=TEMPLATE_FIELD, hint=hint)
    if is_chat or (tokenizer.chat_template and template is None):
        return ChatPrompt(tokenizer, every_answer, spelled_as_text)
    return PlainPrompt(template or PLAIN_TEMPLATE, spelled_as_text)


def probe_chat(answer: str) -> Chat:
    """A short chat that ends with `answer`."""
    return Chat.of((USER, "?"), (ASSISTANT, answer))
