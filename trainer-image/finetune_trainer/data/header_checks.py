"""Suggestions for CSV files whose header lacks the columns: another separator, or lines above the header. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

_FIRST = 20
_USUAL = ",;\t|"
_PARTS = re.compile(r"[,;\t|]")


def header_advice(names: Sequence[str], missing: Collection[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Suggestion where the header is a single field, or stands further down; empty for neither.

    `names` are the columns found, `missing` those that are looked for, `rows` some rows of the file.
    """
    sign = _sign(names[0], missing) if len(names) == 1 else ""
    if sign:
        quoted = ", or remove the quotes around whole lines" if sign in _USUAL else ""
        return f"the header line is one field: set delimiter: {_yaml(sign)} for this source{quoted}"
    if any(_is_header(values, missing) for values in list(rows)[:_FIRST]):
        return "a line further down has these names: remove the lines above it"
    return ""


def _sign(name: str, missing: Collection[str]) -> str:
    """The separator of the missing names within the only one; empty where they are not in it."""
    others = dict.fromkeys(char for char in name if not char.isalnum() and char not in "_\"'.-")
    parted = (sign for sign in others if set(missing) <= {part.strip(" \"'") for part in name.split(sign)})
    return next(parted, "")


def _is_header(values: Mapping[str, object], missing: Collection[str]) -> bool:
    """Whether a row contains the missing names as cells; nameless columns hide some of them."""
    cells = [cell for cell in values.values() if isinstance(cell, str)]
    found = {part.strip(" \"'") for cell in cells if len(cell) < 1000 for part in _PARTS.split(cell)}
    return len(missing) > 1 and (bool(found & set(missing)) if "" in values else found >= set(missing))


def _yaml(sign: str) -> str:
    return f'"{sign}"' if sign.isprintable() else '"' + sign.encode("unicode_escape").decode() + '"'
