"""Tokenisation of text into words, and detokenisation, for any script; pure."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC", "FULLWIDTH")
_ATTACHED = "@#"


def running_text(words: Sequence[str]) -> str:
    """The words joined to text, with spaces between words of scripts that use them."""
    return "".join(_pieces(words))


def word_places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Character span [start, end) of each word in the running text."""
    ends = list(accumulate(map(len, _pieces(words))))
    return [(end - len(word), end) for word, end in zip(words, ends, strict=True)]


def text_words(text: str) -> list[tuple[int, int]]:
    """Character spans of words: runs of letters, digits and marks, and every other character by itself.

    A character of a script without spaces is a word by itself, `@` and `#` stay with what follows them.
    """
    places: list[tuple[int, int]] = []
    for at, char in enumerate(text):
        if char.isspace():
            continue
        start, end = places[-1] if places else (0, 0)
        if places and end == at and _goes_on(text[start:at], char):
            places[-1] = (start, at + 1)
        else:
            places.append((at, at + 1))
    return places


def _pieces(words: Sequence[str]) -> list[str]:
    """Each word with its preceding space."""
    found, before = list[str](), ""
    for word in words:
        found.append(f"{_gap(before, word)}{word}")
        before = word or before
    return found


def _gap(left: str, right: str) -> str:
    return "" if not left or not right or _is_unspaced(left[-1]) or _is_unspaced(right[0]) else " "


def _goes_on(word: str, char: str) -> bool:
    if not _is_of_words(char) or _is_unspaced(char) or _is_unspaced(word[-1]):
        return unicodedata.category(char)[0] == "M"
    return _is_of_words(word[-1]) or word in _ATTACHED


def _is_of_words(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


@cache
def _is_unspaced(char: str) -> bool:
    return char > "\u0e00" and unicodedata.name(char, "").startswith(_UNSPACED)
