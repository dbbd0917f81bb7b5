"""Reliability diagram, and scatter plot of a regression."""

from collections.abc import Sequence

from markupsafe import Markup

from finetune_api.details import ReliabilityBin
from finetune_trainer.reporting.numbers import count, figure, percent, tick
from finetune_trainer.reporting.scales import Scale, scale

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 380, 58, 16, 14, 50


def reliability_diagram(bins: Sequence[ReliabilityBin]) -> Markup:
    """Accuracy over confidence, with the gap to the diagonal of perfect calibration; empty without bins."""
    if not bins:
        return Markup()
    low = min(0.5, *(min(b.confidence, b.accuracy) for b in bins)) if len(bins) > 1 else 0.0
    x, y = _scales([low, 1.0], [low, 1.0])
    parts = [*_frame(x, y, "confidence", "share right"), _diagonal(x, y)]
    parts += [
        Markup('<line class="gap" x1="{x:.1f}" x2="{x:.1f}" y1="{:.1f}" y2="{:.1f}"/>').format(
            y(b.confidence), y(b.accuracy), x=x(b.confidence)
        )
        for b in bins
    ]
    parts += [
        _dot(
            x(b.confidence),
            y(b.accuracy),
            f"sure by {percent(b.confidence)}, right in {percent(b.accuracy)} of {count(b.rows)}",
        )
        for b in bins
    ]
    widest = max(bins, key=lambda b: abs(b.accuracy - b.confidence))
    words = f"Calibration: widest gap at confidence {figure(widest.confidence)} with accuracy {figure(widest.accuracy)}"
    return _drawing(parts, words, "validation")


def scatter_diagram(points: Sequence[tuple[float, float]]) -> Markup:
    """Predicted over true values, with the diagonal; empty for no points."""
    if not points:
        return Markup()
    both = [value for point in points for value in point]
    x, y = _scales(both, both)
    parts = [*_frame(x, y, "true value", "predicted"), _diagonal(x, y)]
    parts += [_dot(x(true), y(guess), f"true {figure(true)}, predicted {figure(guess)}") for true, guess in points]
    return _drawing(parts, f"Predicted over true value for {len(points)} rows", "validation scatter")


def _scales(across: Sequence[float], up: Sequence[float]) -> tuple[Scale, Scale]:
    return scale(across, LEFT, WIDTH - RIGHT), scale(up, HEIGHT - BOTTOM, TOP)


def _frame(x: Scale, y: Scale, x_label: str, y_label: str) -> list[Markup]:
    parts = []
    for value in y.ticks:
        at = y(value)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(x.start, x.end, y=at)
        )
        text = Markup('<text class="tick y" x="{}" y="{:.1f}" dy=".32em">{}</text>')
        parts.append(text.format(x.start - 8, at, tick(value, y.step)))
    text = Markup('<text class="tick x" x="{:.1f}" y="{}">{}</text>')
    parts += [text.format(x(value), y.start + 18, tick(value, x.step)) for value in x.ticks]
    parts.append(Markup('<text class="axis" x="{}" y="{}">{}</text>').format(x.end, y.start + 40, x_label))
    middle = (y.start + y.end) / 2
    turned = Markup('<text class="axis turned" transform="translate(14 {}) rotate(-90)">{}</text>')
    parts.append(turned.format(middle, y_label))
    return parts


def _diagonal(x: Scale, y: Scale) -> Markup:
    low, high = max(x.low, y.low), min(x.high, y.high)
    drawn = Markup('<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return drawn.format(x(low), y(low), x(high), y(high))


def _dot(x: float, y: float, tip: str) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>').format(x, y, tip)


def _drawing(parts: Sequence[Markup], words: str, style: str) -> Markup:
    return Markup('<svg class="square {}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        style, WIDTH, HEIGHT, words, Markup().join(parts)
    )
