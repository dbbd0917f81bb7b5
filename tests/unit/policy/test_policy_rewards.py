"""Rewards that a program gives: what counts as the right answer, in several languages and spellings."""

from fractions import Fraction

import pytest

from finetune_api.policy import RewardType
from finetune_trainer.evaluation.number_values import last_value
from finetune_trainer.evaluation.rewards import checked_reward


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 + 7 = 12.", "12"),
        ("He pays $1,234.50 in all", "1234.5"),
        ("1.234.567,8 Euro", "1234567.8"),
        ("es sind 3,5 Liter", "3.5"),
        ("it falls to -4", "-4"),
        ("it falls to \u22124", "-4"),
        ("答案是42。", "42"),
        ("是-4", "-4"),
        ("x = .5", "0.5"),
        ("#### 18", "18"),
        ("half: 3/2", "3/2"),
        ("so 3 / 2", "3/2"),
        ("-3/4 of it", "-3/4"),
        ("\\frac{3}{4}", "3/4"),
        ("$\\dfrac{-3}{4}$.", "-3/4"),
        ("\\frac12", "1/2"),
        ("1 1/2 cups", "3/2"),
        ("1\\frac{1}{2}", "3/2"),
        ("1\u00bd Tassen", "3/2"),
        ("1.5e3", "1500"),
        ("2E-3 m", "1/500"),
        ("5e3kg", "5000"),
        ("1\u202f250\u00a0000 Euro", "1250000"),
        ("6.02 \\times 10^{23}", "602" + "0" * 21),
        ("2*10^3", "2000"),
        ("2^10", "1024"),
        ("10**6 people", "1000000"),
        ("it costs $5", "5"),
        ("it costs $-5", "-5"),
        ("80\\%", "80"),
        ("the 3rd of 20kg", "20"),
        ("12 + 7 = 19", "19"),
        ("72 / 2 = 36", "36"),
        ("48/2=<<48/2=24>>24", "24"),
        ("\\boxed{42}", "42"),
        ("(42)", "42"),
        ("**42**", "42"),
        ("none at all", None),
    ],
)
def test_the_last_number_counts_by_its_value(text: str, number: str | None) -> None:
    assert last_value(text) == (None if number is None else Fraction(number))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1/2", "3/2"), ("2e3", "1.5e3"), ("\\frac{1}{4}", "\\frac{3}{4}"), ("4:30", "3:30"), ("1:2", "3:2"),
        ("2^3", "10^3"), ("3", "2^3"), ("3", "10^3"), ("3", "\\sqrt{3}"), ("3", "2\\sqrt{3}"), ("\u221a3", "\u221a5"),
        ("3", "3\\pi"),
        ("3", "100-3"), ("3", "5*3"), ("3", "5 + 3"), ("2026", "1/2/2026"), ("30", "2024-01-30"), ("3", "1.2.3"),
        ("2", "1/2"),
        ("5", "1 2/5"), ("1/0", "0"), ("3", "2 \\times 3"), ("12", "10-12"), ("1/3", "0.333"), ("-3/4", "3/4"),
        ("4", "12 / 4"), ("2", "x/2"), ("2", "n^2"), ("2", "\\frac{x}{2}"), ("3", "(a+b)/3"), ("5", "2x*5"),
    ],
)  # fmt: skip
def test_a_part_of_a_number_is_not_the_number(one: str, other: str) -> None:
    """Rewarding an answer for the last digits of another number is what a policy would learn to exploit."""
    for expected, written in ((one, other), (other, one)):
        assert checked_reward(RewardType.NUMBER_MATCH, f"The answer is {written}.", [f"#### {expected}"]) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3:30", "03:30"), ("2\\sqrt{3}", "2\u221a3"), ("sqrt(2)", "\\sqrt{2}"), ("3\\pi", "3\u03c0"),
        ("10-12", "10\u201312"),
        ("1.2.3", "1.2.3"), ("2024-01-30", "2024-01-30"), ("0.75", "3/4"), ("1,500", "1.5e3"), ("2 \\times 3", "2*3"),
        ("24", "48/2"),
    ],
)  # fmt: skip
def test_one_number_in_two_spellings(one: str, other: str) -> None:
    for expected, written in ((one, other), (other, one)):
        assert checked_reward(RewardType.NUMBER_MATCH, f"The answer is {written}.", [f"#### {expected}"]) == 1


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
