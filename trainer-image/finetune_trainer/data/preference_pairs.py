"""Preference pairs: two answers to one prompt, of which one is chosen."""

from json import dumps, loads

from finetune_trainer.data.chat import ASSISTANT, Turn
from finetune_trainer.data.label_cells import Passage


class Answers(Passage):
    """Both answers as one text, a JSON list: the chosen one, then the rejected one, each a text.

    Behind them stand the further keys of their messages (see `Turn.more`) where one of them has some.
    """

    __slots__ = ()

    @classmethod
    def of(cls, chosen: str | Turn, rejected: str | Turn) -> "Answers":
        """Encode two answers."""
        turns = [turn if isinstance(turn, Turn) else Turn(ASSISTANT, turn) for turn in (chosen, rejected)]
        further = [turn.more for turn in turns]
        return cls(dumps([*(turn.content for turn in turns), *(further if any(further) else ())], ensure_ascii=False))

    @property
    def turns(self) -> tuple[Turn, Turn]:
        """The chosen and the rejected answer as assistant messages."""
        chosen, rejected, *further = loads(self)
        first, second = further or ("", "")
        return Turn(ASSISTANT, chosen, first), Turn(ASSISTANT, rejected, second)

    @property
    def chosen(self) -> str:
        """The chosen answer as plain text."""
        return self.turns[0].text

    @property
    def rejected(self) -> str:
        """The rejected answer as plain text."""
        return self.turns[1].text

    @property
    def both(self) -> tuple[str, ...]:
        """Both answers in an order that is independent of the preference."""
        return tuple(sorted((self.chosen, self.rejected)))
