r"""Dialogues as text: `\n\nHuman: ...\n\nAssistant: ...`, the form of Anthropic's HH data."""

import re

from finetune_api.data import Clean
from finetune_trainer.data.chat import ASSISTANT, USER, Turn
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.records import cell_text

_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):")
_ROLES = {"Human": USER, "Assistant": ASSISTANT}


def is_transcript(cell: object) -> bool:
    """Whether a text is such a dialogue, beginning with the human, with at least one answer."""
    if not isinstance(cell, str) or not cell.lstrip().startswith("Human:"):
        return False
    return any(match[1] == "Assistant" for match in _SPEAKER.finditer(cell.lstrip()))


def begins_with(cell: object, prompt: object) -> bool:
    """Whether a text begins with a prompt and continues, white space aside."""
    if not isinstance(cell, str) or not isinstance(prompt, str) or not prompt.strip():
        return False
    text, start = cell.strip(), prompt.strip()
    return text.startswith(start) and len(text) > len(start)


def read_transcript(row: Row, column: str, clean: Clean) -> tuple[Turn, ...] | Bad:
    """The messages of a dialogue as text; the last one is the assistant's."""
    cell = row.values.get(column)
    if not is_transcript(cell):
        return Bad(row.place, f"{column} is no dialogue", "it begins with 'Human:' and has an 'Assistant:', as others")
    text = str(cell).lstrip()
    found = list(_SPEAKER.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    turns = list[Turn]()
    for match, end in zip(found, ends, strict=True):
        said = cell_text(Row({column: text[match.end() : end].strip()}, row.place), column, clean, may_be_empty=True)
        if isinstance(said, Bad):
            return said
        turns.append(Turn(_ROLES[match[1]], said))
    if turns[-1].role != ASSISTANT or not turns[-1].content:
        return Bad(row.place, f"{column} does not end with a message of the assistant")
    return tuple(turns)
