"""`CausalLM` on prompts with completions."""

from collections.abc import Sequence

from finetune_api.data import Clean, Data
from finetune_trainer.data.cleaning import keeping_white_space
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import NO_LABELS, LabelSpace
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import Record, cell_text, group_of
from finetune_trainer.data.shapes.chat_rows import ChatReader
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.shapes.text_to_text import Written


class Prompts:
    """A prompt and its completion, with further input, system prompt and history."""

    def __init__(self, data: Data, group_column: str, usual: dict[str, str]) -> None:
        """Take the columns from `spec.data`; `usual` are those of roles that the job does not name."""
        columns = data.columns
        roles = {role: getattr(columns, role) or column for role, column in usual.items()}
        self._clean = keeping_white_space(data.clean)
        self._reader = ChatReader(columns, self._clean)
        self.roles = with_group({**roles, **self._reader.named}, columns, group_column)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`: the turns are the prompt, with what is in front of it, and the completion."""
        prompt = read_prompt(row, self.roles, self._clean)
        if isinstance(prompt, Bad):
            return prompt
        completion = cell_text(row, self.roles["completion"], self._clean)
        if isinstance(completion, Bad):
            return completion
        asked = self._reader.prompt(row, prompt)
        if isinstance(asked, Bad):
            return asked
        text = prompt if len(asked) == 1 else asked.text
        turns = asked.answered(completion)
        return Record(text, None, completion, group_of(row, self.roles), row.place, turns=turns)

    def reader(self, _cells: Sequence[object]) -> Written:
        """See `Shape.reader`."""
        return Written()

    def space(self, _labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`: no labels."""
        return NO_LABELS


def read_prompt(row: Row, roles: dict[str, str], clean: Clean) -> str | Bad:
    """The prompt of a row, followed on a new line by its input where there is one. Prediction reads with this too."""
    prompt = cell_text(row, roles["prompt"], clean)
    if isinstance(prompt, Bad) or "input" not in roles:
        return prompt
    further = cell_text(row, roles["input"], clean, may_be_empty=True)
    if isinstance(further, Bad):
        return further
    return f"{prompt}\n{further}" if further.strip() else prompt
