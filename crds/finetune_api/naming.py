"""Suggestions for misspelt names."""

import re
from collections.abc import Iterable
from difflib import get_close_matches


def near_names(name: str, names: Iterable[str], count: int = 3, alike: float = 0.65) -> list[str]:
    """The `names` most similar to `name`, best first, by `difflib` at least `alike`.

    Case, hyphens and underscores don't matter; a name with the same letters and digits is the only answer.
    """
    by_letters: dict[str, list[str]] = {}
    for other in names:
        by_letters.setdefault(_letters(other), []).append(other)
    if _letters(name) in by_letters:
        return by_letters[_letters(name)]
    near = get_close_matches(_letters(name), by_letters, n=count, cutoff=alike)
    return [other for letters in near for other in by_letters[letters]][:count]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
