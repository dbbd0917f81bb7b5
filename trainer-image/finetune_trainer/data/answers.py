"""Two answers to one prompt, of which one is preferred: what `Preference` and `RewardModel` learn from a row."""

from json import dumps, loads

from finetune_trainer.data.label_cells import Passage


class Answers(Passage):
    """Both answers as one text, a JSON list: the chosen one, then the rejected one."""

    __slots__ = ()

    @classmethod
    def of(cls, chosen: str, rejected: str) -> "Answers":
        """Put two answers together."""
        return cls(dumps([chosen, rejected], ensure_ascii=False))

    @property
    def chosen(self) -> str:
        """The preferred answer."""
        return str(loads(self)[0])

    @property
    def rejected(self) -> str:
        """The other one."""
        return str(loads(self)[1])

    @property
    def both(self) -> tuple[str, ...]:
        """The two in an order that does not tell which is preferred."""
        return tuple(sorted(loads(self)))
