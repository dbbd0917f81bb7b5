"""Axis scales: ticks at round numbers, linear mapping, thinning of points."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor, isfinite, log10

Point = tuple[float, float | None]
LEAST_SPAN = 0.04
"""Least span of an axis, as a share of its values: below it, rounding noise would look like a curve."""


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end]; `ticks` are the round numbers inside, `step` apart."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    step: float

    def __call__(self, value: float) -> float:
        """Position of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_step(span: float, count: int) -> float:
    """Step of 1, 2 or 5 times a power of ten that divides `span` into about `count` parts."""
    rough = span / max(count, 1)
    power = 10.0 ** floor(log10(rough))
    return power * next(factor for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))


def scale(values: Sequence[float], start: float, end: float, *, count: int = 5, tight: bool = False) -> Scale:
    """Make a scale over `values`.

    Args:
        values: Data; an empty or constant one still gets a span.
        start: Position of the low end.
        end: Position of the high end.
        count: About how many ticks.
        tight: End at the data, not at the next tick, and have whole numbers only (for steps on the x axis).
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low <= LEAST_SPAN * max(abs(low), abs(high)):
        middle = (low + high) / 2
        margin = LEAST_SPAN * abs(middle) or 0.5
        low, high = middle - margin, middle + margin
    step = nice_step(high - low, count)
    if tight:
        step = max(step, 1.0)
    else:
        low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(low, high, start, end, ticks, step)


def segments(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """Split at missing values into connected runs of points."""
    runs = groupby(points, key=lambda point: point[1] is not None and isfinite(point[1]))
    return [[(x, y) for x, y in run if y is not None] for known, run in runs if known]


def thin(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Reduce to about `most` points: first, last, and minimum and maximum of each stretch, to preserve spikes."""
    if len(points) <= most:
        return list(points)
    size = len(points) / (most // 2)
    kept = {0, len(points) - 1}
    for number in range(most // 2):
        stretch = range(int(number * size), min(int((number + 1) * size), len(points)))
        kept |= {min(stretch, key=lambda i: points[i][1]), max(stretch, key=lambda i: points[i][1])}
    return [points[index] for index in sorted(kept)]


def smooth(points: Sequence[tuple[float, float]], span: int) -> list[tuple[float, float]]:
    """Exponential moving average over about `span` points with bias correction (as in Adam, arXiv:1412.6980)."""
    keep, total, weight = 1 - 2 / (span + 1), 0.0, 0.0
    averaged = []
    for x, y in points:
        total, weight = keep * total + (1 - keep) * y, keep * weight + (1 - keep)
        averaged.append((x, total / weight))
    return averaged
