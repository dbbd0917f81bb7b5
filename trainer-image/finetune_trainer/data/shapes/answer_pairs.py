"""`Preference` and `RewardModel`: a prompt with two answers, as texts or as chats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune_api.data import Data
from finetune_api.failures import SpecInvalid
from finetune_trainer.data.chat import ASSISTANT, Chat, Turn
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.reading.rows import Bad, Row, at
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.answer_scores import score_margin
from finetune_trainer.data.shapes.chat_rows import ChatReader, holds_messages
from finetune_trainer.data.shapes.chats import answer_turns
from finetune_trainer.data.shapes.layouts import (
    KTO_ADVICE,
    chat_column,
    input_column,
    is_kto,
    pair_columns,
    prompt_column,
)
from finetune_trainer.data.shapes.messages import is_chat, known_role
from finetune_trainer.data.shapes.prompts import read_prompt
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.transcripts import begins_with, is_transcript, read_transcript


class _AsRead:
    """Target reader for answers that were read with their row."""

    def read(self, cell: object) -> Label:
        """See `TargetReader.read`."""
        return Answers(cell)


@dataclass(frozen=True)
class _Layout:
    """Column layout of the pairs of a data set."""

    roles: dict[str, str]
    transcripts: bool = False
    """Whether answers are whole dialogues as text."""


class AnswerPairs:
    """`prompt`, `chosen` and `rejected`.

    Each is a text or a list of messages. Messages of the answers may begin with those of the prompt; without a column
    for the prompt, it is what both answers begin with, which may be a dialogue as text, also where a column repeats it.
    The first row of use decides
    which of these a data set is. OpenAI's `input`, `preferred_output` and `non_preferred_output` are known as well.
    """

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._columns, self._group_column = data.columns, group_column
        self._clean = keeping_white_space(data.clean)
        self._reader = ChatReader(data.columns, self._clean)
        self._layout: _Layout | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`: `messages` in place of `prompt` where prompts are chats, neither where there are none."""
        return (self._layout or self._choose({})).roles

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`: the turns are the prompt's. Raises `SpecInvalid` for single answers judged by a label."""
        known = self._layout
        if known is None:
            self._layout = self._choose(row.values)
            if is_kto(row.values) and not pair_columns(row.values) and not self._columns.chosen:
                message = "these rows are single answers judged by a label (KTO); pairs of answers are needed"
                raise SpecInvalid(message, where=at(row.place), hint=KTO_ADVICE)
        record = self._read(row, self._layout or self._choose(row.values))
        if isinstance(record, Bad):
            self._layout = known
        return record

    def reader(self, _cells: Sequence[object]) -> _AsRead:
        """See `Shape.reader`."""
        return _AsRead()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS

    def _read(self, row: Row, layout: _Layout) -> Record | Bad:
        asked = self._prompt(row, layout)
        if isinstance(asked, Bad):
            return asked
        chosen, rejected = (self._answer(row, layout, role, asked) for role in ("chosen", "rejected"))
        if isinstance(chosen, Bad):
            return chosen
        if isinstance(rejected, Bad):
            return rejected
        if chosen[0] != rejected[0]:
            return Bad(row.place, "the answers are to unlike prompts", "messages before the last differ")
        if chosen[1].text.strip() == rejected[1].text.strip():
            return Bad(row.place, "chosen and rejected are the same")
        turns = chosen[0] if asked else self._reader.around(row, chosen[0].turns)
        if isinstance(turns, Bad):
            return turns
        text = turns[0].content if len(turns) == 1 else turns.text
        both = Answers.of(chosen[1], rejected[1])
        margin = score_margin(row.values, layout.roles["chosen"], layout.roles["rejected"])
        return Record(text, None, both, group_of(row, self.roles), row.place, turns=turns, score_margin=margin)

    def _choose(self, values: Mapping[str, object]) -> _Layout:
        columns = self._columns
        usual = pair_columns(values) or {"chosen": "chosen", "rejected": "rejected"}
        answers = {role: getattr(columns, role) or column for role, column in usual.items()}
        prompt = self._prompt_column(values, answers)
        cells = [values.get(column) for column in answers.values()]
        transcripts = all(is_transcript(cell) for cell in cells)
        if transcripts and prompt:
            transcripts = all(begins_with(cell, values.get(prompt)) for cell in cells)
            prompt = "" if transcripts else prompt
        asked = {}
        if prompt or not (transcripts or all(is_chat(cell) for cell in cells)):
            prompt = prompt or "prompt"
            role = "messages" if holds_messages(values.get(prompt)) else "prompt"
            asked = {role: prompt}
            if role == "prompt" and not columns.prompt:
                asked |= input_column(values, {**asked, **answers})
        roles = {**asked, **answers, **self._reader.named}
        return _Layout(with_group(roles, columns, self._group_column), transcripts)

    def _prompt_column(self, values: Mapping[str, object], answers: Mapping[str, str]) -> str:
        """The prompt column by name or convention; empty for none."""
        if self._columns.prompt:
            return self._columns.prompt
        if answers["chosen"] == "preferred_output" and "input" in values:
            return "input"
        if "prompt" in values or all(_is_whole_chat(values.get(column)) for column in answers.values()):
            return "prompt" if "prompt" in values else ""
        return prompt_column(values) or chat_column(values)

    def _prompt(self, row: Row, layout: _Layout) -> Chat | Bad:
        """Messages of the prompt; none where the answers include them."""
        roles = layout.roles
        if "messages" in roles:
            return self._reader.messages(row, roles["messages"])
        if "prompt" not in roles:
            return Chat()
        text = read_prompt(row, roles, self._clean)
        return text if isinstance(text, Bad) else self._reader.prompt(row, text)

    def _answer(self, row: Row, layout: _Layout, role: str, asked: Chat) -> tuple[Chat, Turn] | Bad:
        """Prompt messages and answer."""
        column = layout.roles[role]
        if not is_chat(row.values.get(column)):
            if asked:
                text = cell_text(row, column, self._clean)
                return text if isinstance(text, Bad) else (asked, Turn(ASSISTANT, text))
            if not layout.transcripts:
                return Bad(row.place, f"{column} is no list of messages", "nor is there a prompt beside it")
            turns = read_transcript(row, column, self._clean)
        else:
            turns = answer_turns(row, column, self._clean)
        if isinstance(turns, Bad):
            return turns
        before, answer = turns[:-1], turns[-1]
        if not asked:
            return (Chat(before), answer) if before else Bad(row.place, f"{column} answers nothing")
        if not before or before in (asked.turns, asked.own_turns):
            return asked, answer
        if before[0].role == ASSISTANT or all(turn.role != "user" for turn in before):
            return asked.then(*before), answer  # the answer takes several messages: calls of tools and their results
        return Bad(row.place, f"{column} begins with other messages than the prompt")


def _is_whole_chat(cell: object) -> bool:
    """Whether messages include their own prompt."""
    if not is_chat(cell) or not isinstance(cell, (list, tuple)):
        return is_chat(cell) and not isinstance(cell, Mapping)
    speaker = known_role(cell[0].get("role", cell[0].get("from")))
    return len(cell) > 1 and speaker != ASSISTANT
