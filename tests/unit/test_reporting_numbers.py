"""Numbers read as a person would write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_trainer.reporting.numbers import compact, duration, exponent, figure, percent, signed, tick


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.94791, "0.948"),
        (0.0, "0.000"),
        (-0.04, "\N{MINUS SIGN}0.040"),
        (0.00002, "2e-5"),
        (123.456, "123.5"),
        (1234567.0, "1,234,567"),
        (None, "\N{EN DASH}"),
    ],
)
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_changes_carry_a_sign_in_both_directions() -> None:
    assert signed(0.12) == "+0.120"
    assert signed(-0.12) == "\N{MINUS SIGN}0.120"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.85, "850 ms"),
        (3.14, "3.1 s"),
        (48, "48 s"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50%"), (0.0625, "6.2%"), (0.0001, "<0.1%"), (0.0, "0%"), (1.0, "100%")]
)
def test_percentages_never_show_something_as_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(1e-12, 1e12))
def test_an_exponent_is_a_number_that_can_be_pasted(value: float) -> None:
    assert float(exponent(value, 3)) == pytest.approx(value, rel=0.01)


def test_sizes_and_ticks() -> None:
    assert compact(22_713_216) == "22.7 M"
    assert compact(512) == "512"
    assert [tick(value, 0.05) for value in (0, 0.05, 0.1)] == ["0", "0.05", "0.10"]
    assert tick(0.0005, 0.0005) == "5e-4"
    assert tick(0.8085, 0.0005) == "0.8085"
