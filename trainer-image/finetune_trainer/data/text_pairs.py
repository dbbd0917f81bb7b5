"""Column names of text pairs in published data sets. Pure."""

from collections.abc import Collection

_SECONDS = {
    "premise": "hypothesis", "sentence1": "sentence2", "sentence_1": "sentence_2", "sentence_a": "sentence_b",
    "text1": "text2", "text_1": "text_2", "text_a": "text_b", "texta": "textb", "question1": "question2",
    "sent1": "sent2", "s1": "s2",
}  # fmt: skip
"""The second text of a pair by the first, as data sets call them."""


def second_text(column: str, columns: Collection[str]) -> str:
    """The second column of a pair whose first is `column`; empty for none."""
    wanted = _SECONDS.get(column.strip().lower(), "")
    return next((name for name in columns if wanted and name.strip().lower() == wanted), "")
