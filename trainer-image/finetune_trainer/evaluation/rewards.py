"""Verifiable rewards: rules that compare an answer with the expected one. Pure."""

from collections.abc import Callable, Sequence

from finetune_api.policy import RewardType
from finetune_trainer.evaluation.generated_text import answer_in
from finetune_trainer.evaluation.number_values import last_value
from finetune_trainer.evaluation.text_overlap import exact_match
from finetune_trainer.evaluation.words import answer_words


def checked_reward(kind: RewardType, written: str, references: Sequence[str], answer_after: str = "") -> float:
    """1 where the answer matches one of the references, else 0; considers only text after `answer_after`."""
    text = answer_in(written, answer_after)
    right = _RIGHT[kind]
    return float(any(right(text, answer_in(reference, answer_after)) for reference in references))


def _same_number(written: str, expected: str) -> bool:
    found = last_value(written)
    return found is not None and found == last_value(expected)


def _same_words(written: str, expected: str) -> bool:
    return bool(exact_match(written, [expected]))


def _contains(written: str, expected: str) -> bool:
    """Whether the expected words occur consecutively; for signs alone, whether these do."""
    wanted, found = answer_words(expected), answer_words(written)
    if not wanted:
        return expected.strip() in written
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1))


_RIGHT: dict[RewardType, Callable[[str, str], bool]] = {
    RewardType.EXACT_MATCH: _same_words,
    RewardType.NUMBER_MATCH: _same_number,
    RewardType.CONTAINS: _contains,
}
