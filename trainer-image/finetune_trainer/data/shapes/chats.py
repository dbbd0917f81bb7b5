"""`CausalLM` on chats: lists of messages, of which the assistant's are learned."""

from collections.abc import Mapping, Sequence

from finetune_api.data import Clean, Data
from finetune_trainer.data.label_cells import Label, as_list, is_absent
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import Record, Turn, cell_text, group_of
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written
from finetune_trainer.data.shapes.white_space import keeping_white_space

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Who can speak."""


class Chats:
    """A chat a row; what follows its last answer is left out."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the column from `spec.data`."""
        self.roles = with_group({"messages": data.columns.messages or "messages"}, data.columns, group_column)
        self._clean = keeping_white_space(data.clean)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        turns = read_turns(row, self.roles["messages"], self._clean)
        if isinstance(turns, Bad):
            return turns
        answers = [index for index, (role, _) in enumerate(turns) if role == "assistant"]
        if not answers:
            return Bad(row.place, "no message of the assistant", f"roles: {', '.join(role for role, _ in turns)}")
        if any(not turns[index][1].strip() for index in answers):
            return Bad(row.place, "a message of the assistant is empty")
        asked, answer = turns[: answers[-1]], turns[answers[-1]][1]
        if not asked:
            return Bad(row.place, "the assistant's message answers nothing")
        return Record(
            as_text(asked), None, answer, group_of(row, self.roles), row.place, turns=(*asked, turns[answers[-1]])
        )

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: there is nothing to tell apart."""
        return NO_LABELS


def as_text(turns: Sequence[Turn]) -> str:
    """Messages as people read them."""
    return "\n".join(f"{role}: {content}" for role, content in turns)


def read_turns(row: Row, column: str, clean: Clean) -> tuple[Turn, ...] | Bad:
    """The messages in a cell: a list of objects with `role` and `content`, or JSON text of one."""
    cell = row.values.get(column)
    if is_absent(cell):
        return Bad(row.place, f"{column} is empty")
    messages = as_list(cell)
    if not messages:
        return Bad(row.place, f"{column} is no list of messages", shown(cell))
    turns = list[Turn]()
    for message in messages:
        turn = _turn(message, row, clean)
        if isinstance(turn, Bad):
            return turn
        turns.append(turn)
    return tuple(turns)


def _turn(message: object, row: Row, clean: Clean) -> Turn | Bad:
    if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
        return Bad(row.place, "a message lacks role or content", shown(message))
    role, content = message["role"], message["content"]
    if role not in ROLES:
        return Bad(row.place, "unknown role of a message", f"{shown(role)}; known are {', '.join(ROLES)}")
    text = cell_text(Row({"content": content}, row.place), "content", clean, may_be_empty=True)
    return text if isinstance(text, Bad) else (role, text)
