"""Word tokenisation in any language, for metrics.

Scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) count by character.
"""

import re
import unicodedata
from functools import cache

_UNSPACED = ("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
_DASH = re.compile("[\u2010-\u2015\u2212\uff0d]")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def words(text: str) -> list[str]:
    """Lower-case runs of letters, digits and marks; each character of a script without spaces is a word."""
    return _split("".join(char if _counts(char) else " " for char in _composed(text)))


def answer_words(text: str) -> list[str]:
    """Words by SQuAD's normalisation, with numbers by value.

    Punctuation is dropped, not a gap, and English articles are no words. Unlike in SQuAD's script `3.5` is not `35`,
    `1/2` not `12` and `-5` not `5`; commas between groups of three digits are dropped all the same.
    """
    plain = _GROUPED.sub("", _DASH.sub("-", _composed(text)))
    bare = "".join(char for at, char in enumerate(plain) if not _is_punctuation(char) or _in_number(plain, at))
    return _split(_ENGLISH_ARTICLES.sub(" ", bare))


def _composed(text: str) -> str:
    """Lower-case text in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", text.lower())


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


def _in_number(text: str, at: int) -> bool:
    """Whether the sign at this place is between two digits, or a number's minus."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before.isdigit() and after.isdigit():
        return True
    decimal = text[at] == "." and after.isdigit() and not before.isalnum()
    negative = text[at] == "-" and after.isdigit() and not (before.isalnum() or before == "-")
    return decimal or negative


def _split(text: str) -> list[str]:
    return "".join(f" {char} " if _is_unspaced(char) else char for char in text).split()


def _counts(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


@cache
def _is_unspaced(char: str) -> bool:
    return char > "\u0e00" and unicodedata.name(char, "").startswith(_UNSPACED)
