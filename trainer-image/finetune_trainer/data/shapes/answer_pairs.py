"""`Preference` and `RewardModel`: a prompt with two answers, as texts or as chats."""

from collections.abc import Mapping, Sequence

from finetune_api.data import Data
from finetune_trainer.data.answers import Answers
from finetune_trainer.data.label_cells import Label, as_list
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, Turn, cell_text, group_of
from finetune_trainer.data.shapes.chats import as_text, read_turns
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.white_space import keeping_white_space

_ANSWER = "assistant"


class _AsRead:
    """Takes the answers as they were read with their row."""

    def read(self, cell: object) -> Label:
        """See `TargetReader.read`."""
        return Answers(cell)


class AnswerPairs:
    """`prompt`, `chosen` and `rejected`.

    Each is a text or a list of messages. Messages of the answers may begin with those of the prompt; without a column
    for the prompt, it is what both answers begin with. The first row of use decides which of these a data set is.
    """

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        self._columns, self._group_column = data.columns, group_column
        self._clean = keeping_white_space(data.clean)
        self._prompt_role: str | None = None

    @property
    def roles(self) -> dict[str, str]:
        """See `Shape.roles`: `messages` in place of `prompt` where prompts are chats, neither where there are none."""
        columns = self._columns
        prompt = {"prompt": columns.prompt or "prompt", "messages": columns.prompt or "prompt"}
        role = "prompt" if self._prompt_role is None else self._prompt_role
        answers = {"chosen": columns.chosen or "chosen", "rejected": columns.rejected or "rejected"}
        return with_group({**({role: prompt[role]} if role else {}), **answers}, columns, self._group_column)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`: the turns are the prompt's."""
        known = self._prompt_role
        self._prompt_role = self._kind_of_prompt(row) if known is None else known
        record = self._read(row)
        if isinstance(record, Bad):
            self._prompt_role = known
        return record

    def _read(self, row: Row) -> Record | Bad:
        asked = self._prompt(row)
        if isinstance(asked, Bad):
            return asked
        chosen, rejected = (self._answer(row, role, asked) for role in ("chosen", "rejected"))
        if isinstance(chosen, Bad):
            return chosen
        if isinstance(rejected, Bad):
            return rejected
        if chosen[0] != rejected[0]:
            return Bad(row.place, "the answers are to unlike prompts", "messages before the last differ")
        if chosen[1].strip() == rejected[1].strip():
            return Bad(row.place, "chosen and rejected are the same")
        turns = chosen[0]
        text = turns[0][1] if len(turns) == 1 else as_text(turns)
        both = Answers.of(chosen[1], rejected[1])
        return Record(text, None, both, group_of(row, self.roles), row.place, turns=turns)

    def reader(self, _cells: Sequence[object]) -> _AsRead:
        """See `Shape.reader`."""
        return _AsRead()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: there is nothing to tell apart."""
        return NO_LABELS

    def _kind_of_prompt(self, row: Row) -> str:
        column = self._columns.prompt or "prompt"
        if not self._columns.prompt and column not in row.values and is_chat(row.values.get(self.roles["chosen"])):
            return ""
        return "messages" if is_chat(row.values.get(column)) else "prompt"

    def _prompt(self, row: Row) -> tuple[Turn, ...] | Bad:
        """The messages of the prompt; none where the answers bring them."""
        roles = self.roles
        if "messages" in roles:
            return read_turns(row, roles["messages"], self._clean)
        if "prompt" not in roles:
            return ()
        text = cell_text(row, roles["prompt"], self._clean)
        return text if isinstance(text, Bad) else (("user", text),)

    def _answer(self, row: Row, role: str, asked: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], str] | Bad:
        """What is answered, and the answer."""
        column = self.roles[role]
        if not is_chat(row.values.get(column)):
            if not asked:
                return Bad(row.place, f"{column} is no list of messages", "nor is there a prompt beside it")
            text = cell_text(row, column, self._clean)
            return text if isinstance(text, Bad) else (asked, text)
        turns = read_turns(row, column, self._clean)
        if isinstance(turns, Bad):
            return turns
        before, (speaker, answer) = turns[:-1], turns[-1]
        if speaker != _ANSWER or not answer.strip():
            return Bad(row.place, f"{column} does not end with a message of the assistant")
        if asked and before not in ((), asked):
            return Bad(row.place, f"{column} begins with other messages than the prompt")
        if not before and not asked:
            return Bad(row.place, f"{column} answers nothing")
        return before or asked, answer


def is_chat(cell: object) -> bool:
    """Whether a cell holds messages: a list of objects with `role` and `content`, or JSON text of one."""
    items = as_list(cell)
    return bool(items) and all(isinstance(item, Mapping) and {"role", "content"} <= item.keys() for item in items or ())
