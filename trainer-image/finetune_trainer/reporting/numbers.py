"""Number formats for people: minus is U+2212, thousands have commas."""

from math import floor, isfinite, log10

MINUS, NOTHING = "\N{MINUS SIGN}", "\N{EN DASH}"


def figure(value: float | None) -> str:
    """Three decimals for common sizes, fewer for large numbers, an exponent for tiny ones; a dash for None."""
    if value is None or not isfinite(value):
        return NOTHING
    size = abs(value)
    if size and size < 0.0005:
        return exponent(value)
    decimals = 3 if size < 100 else 1 if size < 10_000 else 0
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def exponent(value: float, digits: int = 2) -> str:
    """`2e-4` rather than `2.0e-04`, with a plain minus so that it can be pasted into a job."""
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(power)}"


def signed(value: float | None) -> str:
    """A change: `+0.120`, with a sign in both directions."""
    if value is None:
        return NOTHING
    return f"+{figure(value)}" if value >= 0 else figure(value)


def count(value: float) -> str:
    """`12,345`."""
    return f"{value:,.0f}"


def compact(value: float) -> str:
    """`22.7 M` for sizes of models."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"


def file_name(path: str) -> str:
    """Last part of a path or URI."""
    return path.rstrip("/").rpartition("/")[2]


def percent(share: float) -> str:
    """`91.2%`; whole percents from 99.95 on, and `<0.1%` for small positive shares."""
    if 0 < share < 0.001:
        return "<0.1%"
    text = f"{100 * share:.1f}"
    return f"{text.removesuffix('.0')}%"


def duration(seconds: float) -> str:
    """`850 ms`, `48 s`, `3 min 12 s`, `2 h 5 min`, `1 d 3 h`: two units at most."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {smaller_unit}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def decimals_for(step: float) -> int:
    """Decimals needed by ticks `step` apart."""
    return max(0, -floor(log10(step) + 1e-9)) if step > 0 else 0


def tick(value: float, step: float) -> str:
    """A tick of an axis whose ticks are `step` apart."""
    if value == 0:
        return "0"
    if (step < 0.001 and abs(value) < 0.1) or abs(value) >= 1e7:
        return exponent(value, 3)
    return f"{value:,.{decimals_for(step)}f}".replace("-", MINUS)
