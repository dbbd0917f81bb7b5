"""What an answer is worth where the expected one is known: rules that a program can check. Pure."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from finetune_api.policy import RewardType
from finetune_trainer.evaluation.text_overlap import exact_match
from finetune_trainer.evaluation.words import answer_words
from finetune_trainer.evaluation.written import answer_in

_NUMBER = re.compile(r"(?:(?<![0-9A-Za-z)])[-\u2212])?(?:(?<!\w)\.\d+|\d+(?:[.,]\d+)*)")
_GROUPS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?|\d{1,3}(\.\d{3}){2,}(,\d+)?")


def checked_reward(kind: RewardType, written: str, references: Sequence[str], answer_after: str = "") -> float:
    """1 where the answer is right by one of the references, else 0; looks only behind `answer_after`."""
    text = answer_in(written, answer_after)
    right = _RIGHT[kind]
    return float(any(right(text, answer_in(reference, answer_after)) for reference in references))


def last_number(text: str) -> Decimal | None:
    """The value of the last number in a text; None where there is none.

    Commas between groups of three digits are dropped (`1,234.5`), as are points where there are two or more of them;
    any other comma is a decimal one (`3,5`).
    """
    found = _NUMBER.findall(text)
    return _value(found[-1]) if found else None


def _value(number: str) -> Decimal | None:
    sign, digits = (-1, number[1:]) if number[0] in "-\u2212" else (1, number)
    if _GROUPS.fullmatch(digits):
        grouping = "," if re.match(r"\d+,", digits) else "."
        digits = digits.replace(grouping, "")
    digits = digits.replace(",", ".")
    return sign * Decimal(digits) if digits.count(".") <= 1 else None  # else a date or a version


def _same_number(written: str, expected: str) -> bool:
    found = last_number(written)
    return found is not None and found == last_number(expected)


def _same_words(written: str, expected: str) -> bool:
    return bool(exact_match(written, [expected]))


def _contains(written: str, expected: str) -> bool:
    """Whether the expected words occur one after the other; where nothing but signs is expected, whether they do."""
    wanted, found = answer_words(expected), answer_words(written)
    if not wanted:
        return expected.strip() in written
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1))


_RIGHT: dict[RewardType, Callable[[str, str], bool]] = {
    RewardType.EXACT_MATCH: _same_words,
    RewardType.NUMBER_MATCH: _same_number,
    RewardType.CONTAINS: _contains,
}
