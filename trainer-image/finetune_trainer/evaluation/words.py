"""Words of a text in any language, for metrics that count them.

Scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) count by character.
"""

import re
import unicodedata
from functools import cache

_UNSPACED = ("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")


def words(text: str) -> list[str]:
    """Lower-case runs of letters, digits and marks; each character of a script without spaces is one word."""
    return _split("".join(char if _counts(char) else " " for char in text.lower()))


def answer_words(text: str) -> list[str]:
    """Words as SQuAD counts them: punctuation is dropped, not a gap, and English articles are no words."""
    bare = "".join(char for char in text.lower() if unicodedata.category(char)[0] not in "PS")
    return _split(_ENGLISH_ARTICLES.sub(" ", bare))


def _split(text: str) -> list[str]:
    return "".join(f" {char} " if _is_unspaced(char) else char for char in text).split()


def _counts(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


@cache
def _is_unspaced(char: str) -> bool:
    return char > "\u0e00" and unicodedata.name(char, "").startswith(_UNSPACED)
