"""`CausalLM` on chats: lists of messages, of which those of the assistant are trained on."""

from collections.abc import Sequence

from finetune_api.data import Clean, Data
from finetune_trainer.data.chat import ASSISTANT, Turn
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.chat_rows import ChatReader
from finetune_trainer.data.shapes.messages import is_chat, read_messages
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written


class Chats:
    """One chat per row, cut after its last trained answer."""

    def __init__(self, data: Data, group_column: str, column: str = "messages") -> None:
        """Take the columns from `spec.data`; `column` holds the messages where the job does not say which."""
        self._reader = ChatReader(data.columns, keeping_white_space(data.clean))
        roles = {"messages": data.columns.messages or column, **self._reader.named}
        self.roles = with_group(roles, data.columns, group_column)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        chat = self._reader.messages(row, self.roles["messages"])
        if isinstance(chat, Bad):
            return chat
        answers = [index for index, turn in enumerate(chat) if turn.role == ASSISTANT]
        if not answers:
            return Bad(row.place, "no message of the assistant", f"roles: {', '.join(turn.role for turn in chat)}")
        if any(not chat[index].text.strip() for index in answers):
            return Bad(row.place, "a message of the assistant is empty")
        learned = [index for index in answers if chat[index].learned]
        if not learned:
            return Bad(row.place, "every message of the assistant has weight 0", "there is nothing to learn")
        asked, answer = chat[: learned[-1]], chat[learned[-1]]
        if not asked:
            return Bad(row.place, "the assistant's message answers nothing")
        if asked[0].role == ASSISTANT:
            detail = "nothing comes before its first message: take that out, or put a system message in front of it"
            return Bad(row.place, "the chat begins with the assistant", detail)
        return Record(asked.text, None, answer.text, group_of(row, self.roles), row.place, turns=asked.then(answer))

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS


class AnsweredChats:
    """Messages in one column, their answer in another: a text, or messages that end with it."""

    def __init__(self, data: Data, group_column: str, usual: dict[str, str]) -> None:
        """Take the columns from `spec.data`; `usual` are those of roles that the job does not name."""
        columns = data.columns
        self._clean = keeping_white_space(data.clean)
        self._reader = ChatReader(columns, self._clean)
        roles = {"messages": columns.prompt or usual["prompt"], "completion": columns.completion or usual["completion"]}
        self.roles = with_group({**roles, **self._reader.named}, columns, group_column)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        asked = self._reader.messages(row, self.roles["messages"])
        if isinstance(asked, Bad):
            return asked
        answers = answer_turns(row, self.roles["completion"], self._clean)
        if isinstance(answers, Bad):
            return answers
        before, answer = asked.then(*answers[:-1]), answers[-1]
        return Record(before.text, None, answer.text, group_of(row, self.roles), row.place, turns=before.then(answer))

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS


def answer_turns(row: Row, column: str, clean: Clean) -> tuple[Turn, ...] | Bad:
    """An answer in a cell: a text, or messages that end with one of the assistant's."""
    if not is_chat(row.values.get(column)):
        text = cell_text(row, column, clean)
        return text if isinstance(text, Bad) else (Turn(ASSISTANT, text),)
    turns = read_messages(row, column, clean)
    if not isinstance(turns, Bad) and (turns[-1].role != ASSISTANT or not turns[-1].text.strip()):
        return Bad(row.place, f"{column} does not end with a message of the assistant")
    return turns
