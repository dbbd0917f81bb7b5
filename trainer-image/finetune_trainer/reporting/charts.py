"""Line charts as inline SVG. Colours and font sizes come from the page's style sheet.

Hovering needs no script: a band for each step carries a `<title>` and shows a guide line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

from finetune_trainer.reporting.numbers import figure, tick
from finetune_trainer.reporting.scales import Point, Scale, scale, segments, smooth, thin

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 560, 58, 14, 26, 34
MOST_POINTS, MOST_BANDS, MOST_MARKS, MANY, FEW = 240, 120, 40, 60, 2


@dataclass(frozen=True)
class Series:
    """A line. `style` is a CSS class; points are (step, value), None for missing values.

    A noisy line of many points is drawn faintly, with its moving average over it.
    """

    name: str
    style: str
    points: Sequence[Point]
    noisy: bool = False

    @property
    def known(self) -> list[tuple[float, float]]:
        """Points with a value."""
        return [(x, y) for x, y in self.points if y is not None and isfinite(y)]


@dataclass(frozen=True)
class Marker:
    """A labelled vertical line at one step."""

    step: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """Data of a chart. `notes` are texts on single steps for the tooltips."""

    title: str
    series: Sequence[Series]
    height: int = 300
    marker: Marker | None = None
    notes: Mapping[float, str] = field(default_factory=dict)
    from_zero: bool = False

    def __html__(self) -> str:
        """The chart as SVG; empty without any value."""
        shown = [series for series in self.series if series.known]
        return str(_figure(self, shown)) if shown else ""


def _figure(chart: LineChart, shown: Sequence[Series]) -> Markup:
    steps = sorted({x for series in shown for x, _ in series.known} | ({chart.marker.step} if chart.marker else set()))
    values = [y for series in shown for _, y in series.known] + ([0.0] if chart.from_zero else [])
    x = scale([0, *steps] if len(steps) == 1 else steps, LEFT, WIDTH - RIGHT, count=6, tight=True)
    y = scale(values, chart.height - BOTTOM, TOP, count=5 if chart.height > 200 else 3)
    parts = [*_axes(x, y), *_marker(chart, x, y), *(_line(series, x, y) for series in shown)]
    parts += _bands(chart, shown, steps, x, y)
    return Markup(
        '<figure class="chart"><figcaption><h3>{title}</h3>{legend}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}</svg></figure>'
    ).format(
        title=chart.title,
        legend=_legend(shown) if len(shown) > 1 else "",
        width=WIDTH,
        height=chart.height,
        label=_in_words(chart, shown),
        body=Markup().join(parts),
    )


def _legend(shown: Sequence[Series]) -> Markup:
    items = [Markup('<li class="{}">{}</li>').format(series.style, series.name) for series in shown]
    return Markup('<ul class="legend">{}</ul>').format(Markup().join(items))


def _in_words(chart: LineChart, shown: Sequence[Series]) -> str:
    """Text alternative for screen readers."""
    ends = [f"{s.name} from {figure(s.known[0][1])} to {figure(s.known[-1][1])}" for s in shown]
    marker = f"; {chart.marker.label}" if chart.marker else ""
    return f"{chart.title} over training steps: {', '.join(ends)}{marker}"


def _axes(x: Scale, y: Scale) -> list[Markup]:
    parts = [
        Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(x.start, x.end, y=y(value))
        for value in y.ticks
    ]
    parts += [
        Markup('<text class="tick y" x="{}" y="{:.1f}" dy=".32em">{}</text>').format(
            x.start - 8, y(value), tick(value, y.step)
        )
        for value in y.ticks
    ]
    parts += [
        Markup('<text class="tick x" x="{:.1f}" y="{:.1f}">{}</text>').format(
            x(value), y.start + 18, tick(value, x.step)
        )
        for value in x.ticks
        if value == round(value)  # there is no half step
    ]
    parts.append(Markup('<text class="axis" x="{}" y="{}">step</text>').format(x.end, y.start + 32))
    return parts


def _marker(chart: LineChart, x: Scale, y: Scale) -> list[Markup]:
    if chart.marker is None:
        return []
    at = x(chart.marker.step)
    side, shift = ("end", 4) if at > WIDTH / 2 else ("start", -4)
    return [
        Markup('<line class="marker" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(y.end, y.start, x=at),
        Markup('<text class="marker" x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(
            at + shift, y.end - 10, side, chart.marker.label
        ),
    ]


def _line(series: Series, x: Scale, y: Scale) -> Markup:
    noisy = series.noisy and len(series.known) > MANY
    runs = segments(series.points)
    parts = [_path([thin(run, MOST_POINTS) for run in runs], x, y, "raw" if noisy else "line")]
    if noisy:
        smoothed = [smooth(run, len(series.known) // 15) for run in runs]
        parts.append(_path([thin(run, MOST_POINTS) for run in smoothed], x, y, "line"))
    if len(series.known) <= MOST_MARKS:
        radius = 3 if len(series.known) > FEW else 4.5
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"/>')
        parts += [dot.format(x(step), y(value), radius) for step, value in series.known]
    return Markup('<g class="{}">{}</g>').format(series.style, Markup().join(parts))


def _path(runs: Sequence[Sequence[tuple[float, float]]], x: Scale, y: Scale, style: str) -> Markup:
    drawn = " ".join("M" + "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in run) for run in runs)
    return Markup('<path class="{}" d="{}"/>').format(style, drawn)


def _bands(chart: LineChart, shown: Sequence[Series], steps: Sequence[float], x: Scale, y: Scale) -> list[Markup]:
    """Invisible columns with the tooltips, each half-way to its neighbours."""
    values = [dict(series.known) for series in shown]
    rare = {step for found in values if len(found) <= MOST_MARKS for step in found}
    every = max(1, len(steps) // MOST_BANDS)
    kept = [step for number, step in enumerate(steps) if step in rare or number % every == 0]
    edges = [x.start, *((x(a) + x(b)) / 2 for a, b in pairwise(kept)), x.end]
    return [
        Markup(
            '<g class="band"><rect x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>'
            '<line x1="{at:.1f}" x2="{at:.1f}" y1="{}" y2="{}"/><title>{}</title></g>'
        ).format(
            left, y.end, right - left, y.start - y.end, y.end, y.start, _tip(chart, shown, values, step), at=x(step)
        )
        for step, (left, right) in zip(kept, pairwise(edges), strict=True)
    ]


def _tip(chart: LineChart, shown: Sequence[Series], values: Sequence[Mapping[float, float]], step: float) -> str:
    note = f", {chart.notes[step]}" if step in chart.notes else ""
    lines = [f"{s.name}: {figure(found[step])}" for s, found in zip(shown, values, strict=True) if step in found]
    return "\n".join([f"step {step:g}{note}", *lines])
