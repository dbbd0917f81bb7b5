"""Localised numbers: `1.234,5`, `1 234,5`, `1'234.5`, `1,234.5`. Pure."""

import re
from collections.abc import Iterable

_GROUPS = {",": r". \xa0\u202f\u2009'\u2019", ".": r", \xa0\u202f\u2009'\u2019"}
"""What may part groups of three digits, by the decimal sign."""
_PATTERNS = {
    sign: re.compile(
        rf"(?P<sign>[+-]?)(?P<whole>[0-9]{{1,3}}(?P<group>[{groups}])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*|[0-9]*)"
        rf"(?:{re.escape(sign)}(?P<fraction>[0-9]*))?(?P<exponent>[eE][+-]?[0-9]+)?"
    )
    for sign, groups in _GROUPS.items()
}

_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def plain_number(cell: object, decimal: str) -> object:
    """A text cell with its number in programming notation (`1234.5`), by the separator `decimal`."""
    if not decimal or not isinstance(cell, str):
        return cell
    found = _PATTERNS[decimal].fullmatch(cell.strip().replace("\u2212", "-"))
    if found is None or not (found["whole"] or found["fraction"]):
        return cell
    whole = re.sub("[^0-9]", "", found["whole"]) or "0"
    fraction = f".{found['fraction']}" if found["fraction"] else ""
    return f"{found['sign']}{whole}{fraction}{found['exponent'] or ''}"


def may_be_thousands(cells: Iterable[object]) -> str:
    """A number that may be an integer with digit groups (`1.500`), if all numbers with a point look so.

    Where others have no point: a writer of three decimals gives them to all. Empty where there is none.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    points = [text for text in texts if "." in text]
    mixed = 0 < len(points) < len(texts)
    return points[0] if mixed and all(map(_THOUSANDS.fullmatch, points)) else ""


def is_local_number(text: str) -> bool:
    """Whether text is a number with a decimal comma or with groups of digits."""
    if not any(char.isdigit() for char in text) or _PLAIN.fullmatch(text.strip()):
        return False
    return any(plain_number(text, sign) != text for sign in _PATTERNS)
