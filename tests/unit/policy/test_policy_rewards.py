"""Rewards that a program gives: what counts as the right answer, in several languages and spellings."""

from decimal import Decimal

import pytest

from finetune_api.policy import RewardType
from finetune_trainer.evaluation.rewards import checked_reward, last_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 + 7 = 12.", "12"),
        ("He pays $1,234.50 in all", "1234.5"),
        ("1.234.567,8 Euro", "1234567.8"),
        ("es sind 3,5 Liter", "3.5"),
        ("it falls to -4", "-4"),
        ("it falls to \u22124", "-4"),
        ("from 3-4", "4"),
        ("答案是42。", "42"),
        ("是-4", "-4"),
        ("x = .5", "0.5"),
        ("#### 18", "18"),
        ("on 3.4.2026 it was 7 and then 1.2.3", None),
        ("none at all", None),
    ],
)
def test_the_last_number_counts_by_its_value(text: str, number: str | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(
    ("kind", "written", "expected", "after", "right"),
    [
        (RewardType.NUMBER_MATCH, "so 6 times 7 makes 42.0", "#### 42", "", True),
        (RewardType.NUMBER_MATCH, "42 is not it, 41 is", "42", "", False),
        (RewardType.NUMBER_MATCH, "no idea", "no number either", "", False),
        (RewardType.NUMBER_MATCH, "Answer: 3 of 4", "Answer: 4", "Answer:", True),
        (RewardType.EXACT_MATCH, "The Cat!", "cat", "", True),
        (RewardType.EXACT_MATCH, "a black cat", "cat", "", False),
        (RewardType.CONTAINS, "I saw a Black cat there", "black cat", "", True),
        (RewardType.CONTAINS, "it is a category", "cat", "", False),
        (RewardType.CONTAINS, "我看见一只黑猫", "黑猫", "", True),
        (RewardType.CONTAINS, "cat and dog\nso: dog", "cat", "so:", False),
        (RewardType.CONTAINS, "why? because", "?", "", True),
    ],
)
def test_an_answer_is_right_or_wrong(kind: RewardType, written: str, expected: str, after: str, right: bool) -> None:
    assert checked_reward(kind, written, [expected], after) == float(right)


def test_any_of_several_references_will_do() -> None:
    assert checked_reward(RewardType.EXACT_MATCH, "two", ["one", "two"]) == 1
