"""Parsing of numbers in text: decimals, fractions, powers of ten, and expressions. Pure."""

import re
from decimal import Decimal
from fractions import Fraction

Value = Fraction | str
"""A number, or the text of an expression that this module does not compute (`3:30`, `2\u221a3`, `1.2.3`)."""

_DIGITS = r"(?:\d+(?:[.,]\d+)*|(?<!\w)\.\d+)"
_SIGN = r"(?:(?<![0-9A-Za-z)}])[-\u2212])?"
_NUMBER = rf"{_SIGN}{_DIGITS}(?:[eE][+-]?\d+)?"
_GLYPHS = {"\u00bd": "1/2", "\u2153": "1/3", "\u2154": "2/3", "\u00bc": "1/4", "\u00be": "3/4", "\u215b": "1/8"} | {
    "\u2155": "1/5", "\u2156": "2/5", "\u2157": "3/5", "\u2158": "4/5", "\u215c": "3/8", "\u215d": "5/8",
    "\u215e": "7/8",
}  # fmt: skip
_GROUPS = re.compile(r"\d{1,3}(,\d{3})+(\.\d+)?|\d{1,3}(\.\d{3}){2,}(,\d+)?")

# Spellings of one thing made one: LaTeX and Unicode to plain signs.
_SPELLINGS = (
    (re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)"), r" \1/\2"),
    (re.compile(rf"(\d?)\\[dtc]?frac\s*{{\s*({_NUMBER})\s*}}\s*{{\s*({_NUMBER})\s*}}"), r"\1 \2/\3"),
    (re.compile(r"\s*\\(?:times|cdot)(?![A-Za-z])\s*"), "\u00d7"),
    (re.compile(r"\s*\\div(?![A-Za-z])\s*|\u2044"), "/"),
    (re.compile(r"\\sqrt\s*|\bsqrt\s*(?=[({])"), "\u221a"),
    (re.compile(r"\\pi(?![A-Za-z])"), "\u03c0"),
    (re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))"), ""),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\s*{\s*([-+]?\d+)\s*}"), r"^\1"),
    (re.compile(r"\\[,;! ]|\\(?=[%$])|[$\u20ac\u00a3](?=\s*[-\u2212.\d])"), ""),
)
_OPERATOR = r"(?:[:^\u00d7*+/]|(?<=\d)[-\u2212\u2013](?=\d)|\s+[\u00d7*+/]\s+)"
_ROOT = rf"\u221a(?:{_NUMBER}|\({_NUMBER}\)|{{{_NUMBER}}})"
_TERM = rf"(?:{_ROOT}|{_NUMBER}(?:{_ROOT})?)\u03c0?"
_EXPRESSION = re.compile(rf"{_TERM}(?:{_OPERATOR}{_TERM})*")
_MIXED = re.compile(r"(?<![\d.,/])([-\u2212]?)(\d+)\s+(\d+)/(\d+)(?![\d/.,]*[\d/])")
_JOINED = re.compile(r"[A-Za-z)}\]][/^*\u00d7]|}{")
"""What makes the number behind it a part of an expression with letters: `x/2`, `n^2`, `\\frac{x}{2}`."""
_QUOTIENT = re.compile(rf"({_NUMBER})\s*/\s*({_NUMBER})")
_SCIENTIFIC = re.compile(rf"({_NUMBER})\s*[\u00d7*]\s*10\^([-+]?\d{{1,3}})")
_POWER = re.compile(rf"({_NUMBER})\^([-+]?\d{{1,3}})")


def last_value(text: str) -> Value | None:
    r"""Value of the last number in a text; None without one.

    Commas between groups of three digits are dropped (`1,234.5`), as are points where there are two or more of them;
    any other comma is a decimal one (`3,5`). Fractions (`3/2`, `1 1/2`, `\frac{3}{2}`), powers and scientific notation
    (`1.5e3`, `2*10^3`) have their value. What is joined to a number by other signs is not that number: a time, a date,
    a range or an uncomputed product is compared by its text.
    """
    plain = _plain(text)
    mixed = list(_MIXED.finditer(plain))
    found = list(_EXPRESSION.finditer(plain))
    if not found:
        return None
    last = found[-1]
    if mixed and mixed[-1].end() >= last.end() and int(mixed[-1][3]) < int(mixed[-1][4]):
        sign, whole, part, parts = mixed[-1].groups()
        return (Fraction(int(whole)) + Fraction(int(part), int(parts))) * (-1 if sign else 1)
    before = plain[: last.start()]
    if _JOINED.fullmatch(before[-2:]):
        return _text(before.split()[-1] + last.group())
    return _value(last.group())


def _plain(text: str) -> str:
    for glyph, fraction in _GLYPHS.items():
        text = text.replace(glyph, f" {fraction}")
    for pattern, sign in _SPELLINGS:
        text = pattern.sub(sign, text)
    return text


def _value(expression: str) -> Value:
    for pattern, compute in ((_QUOTIENT, _quotient), (_SCIENTIFIC, _scientific), (_POWER, _power)):
        match = pattern.fullmatch(expression)
        if match:
            one, other = _number(match[1]), _number(match[2])
            value = None if one is None or other is None else compute(one, other)
            return _text(expression) if value is None else value
    value = _number(expression)
    return _text(expression) if value is None else value


def _text(expression: str) -> str:
    """An expression in normal form: without spaces and leading zeros, with one sign for minus and for times."""
    plain = re.sub(r"[\u2212\u2013]", "-", re.sub(r"[\s({})]", "", expression)).replace("*", "\u00d7")
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", plain)


def _quotient(one: Fraction, other: Fraction) -> Fraction | None:
    return one / other if other else None


def _scientific(one: Fraction, exponent: Fraction) -> Fraction:
    return one * Fraction(10) ** int(exponent)


def _power(one: Fraction, exponent: Fraction) -> Fraction | None:
    too_long = abs(one.numerator) > 10**6 or one.denominator > 10**6
    return None if too_long or (not one and exponent < 0) else Fraction(one ** int(exponent))


def _number(text: str) -> Fraction | None:
    """Value of one number; None for anything else, such as a date or a version."""
    if not re.fullmatch(rf"[-+\u2212]?{_DIGITS}(?:[eE][+-]?\d{{1,3}})?", text):
        return None
    sign, digits = (-1, text[1:]) if text[0] in "-\u2212" else (1, text.removeprefix("+"))
    mantissa, _, exponent = digits.replace("E", "e").partition("e")
    if _GROUPS.fullmatch(mantissa):
        mantissa = mantissa.replace("," if re.match(r"\d+,", mantissa) else ".", "")
    mantissa = mantissa.replace(",", ".")
    if mantissa.count(".") > 1:
        return None
    return sign * Fraction(Decimal(mantissa)) * Fraction(10) ** int(exponent or 0)
