"""Text of the report page can be read in both themes: 4.5:1 for text, 3:1 for lines (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re
from pathlib import Path

import pytest

from finetune_trainer import reporting

STYLE = (Path(reporting.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
ROOTS = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root)) for root in ROOTS[:2])
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
TEXT = [(text, ground) for text in ("ink", "soft", "good", "bad", "warn", "tuned") for ground in ("ground", "panel")]
CHIPS = [("good", "good-ground"), ("bad", "bad-ground"), ("warn", "warn-ground"), ("ink", "warn-ground")]
LINES = [(line, "panel") for line in ("tuned", "train", "norm", "rate", "teal", "plum")]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@THEMES
@pytest.mark.parametrize(("text", "ground"), [*TEXT, *CHIPS])
def test_text_stands_out_from_its_ground(theme: dict[str, str], text: str, ground: str) -> None:
    assert contrast(theme[text], theme[ground]) >= 4.5


@THEMES
@pytest.mark.parametrize(("line", "ground"), LINES)
def test_lines_stand_out_from_their_ground(theme: dict[str, str], line: str, ground: str) -> None:
    assert contrast(theme[line], theme[ground]) >= 3


def mixed(tone: str, share: float, ground: str) -> str:
    """CSS `color-mix(in srgb, ...)` of two colours."""
    parts = [(int(tone[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(one * share + other * (1 - share)):02x}" for one, other in parts)


@THEMES
@pytest.mark.parametrize("tone", ["tuned", "bad"])
def test_numbers_stand_out_from_every_shade_of_the_matrix(theme: dict[str, str], tone: str) -> None:
    least, most = map(int, re.findall(r"calc\((\d+)% \+ var\(--share\) \* (\d+)%\)", STYLE)[0])
    for share in range(0, 101, 5):
        shade = mixed(theme[tone], (least + most * share / 100) / 100, theme["panel"])
        assert contrast(theme["ink"], shade) >= 4.5, share
