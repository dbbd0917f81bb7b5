"""The table of the check, in Markdown."""

from dataclasses import dataclass, field

from gpu.sizes import Size
from gpu.ways import Way
from gpu.work import flop_per_token

HEADER = (
    "| Check | Result | Tokens/s | MFU | Held-out loss | Peak GiB | Estimated GiB | Estimated / peak |\n"
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)
TOLERANCE = 0.15
"""How far an estimate may be from the measured peak."""
_GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    """A test, or a way of training with its figures."""

    name: str
    result: str
    failed: bool = False
    way: Way | None = None
    figures: dict[str, float] = field(default_factory=dict)
    """`rate`, `loss`, `peak` and `estimated`, which is 0 where there is none."""

    @property
    def ratio(self) -> float:
        """Estimated over measured peak; 0 without an estimate."""
        return self.figures["estimated"] / self.figures["peak"] if self.figures.get("peak") else 0.0

    @property
    def is_off(self) -> bool:
        """Whether the estimate is further from the peak than it may be."""
        return self.ratio > 0 and abs(self.ratio - 1) > TOLERANCE

    def fails(self, *, rehearsal: bool) -> bool:
        """Whether the check fails by this row; in a rehearsal, figures mean nothing."""
        return self.failed or (self.is_off and not rehearsal)


@dataclass(frozen=True)
class Device:
    """What the figures were measured on."""

    name: str
    peak: float
    """Peak FLOP per second; 0 where it is not known."""
    is_rehearsal: bool = False


def line(row: Row, size: Size, device: Device, labelled: float) -> str:
    """A row of the table."""
    result = row.result.replace("|", "/")
    if row.way is None or not row.figures:
        return f"| {row.name} | {result} | | | | | | |"
    found = row.figures
    share = found["rate"] * flop_per_token(row.way, size, labelled) / device.peak if device.peak else 0.0
    cells = [
        f"{found['rate']:,.0f}",
        f"{share:.1%}" if share else "",
        f"{found['loss']:.4f}",
        f"{found['peak'] / _GIB:.2f}",
        f"{found['estimated'] / _GIB:.2f}" if found["estimated"] else "",
        f"{row.ratio:.2f}" if row.ratio else "",
    ]
    note = (
        f"{result}; the estimate is more than {TOLERANCE:.0%} off" if row.is_off and not device.is_rehearsal else result
    )
    return f"| {row.name} | {note} | {' | '.join(cells)} |"
