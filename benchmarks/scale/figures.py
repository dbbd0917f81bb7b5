"""What was measured, beside what is to be reached and what another operator needs."""

from dataclasses import dataclass, field
from statistics import median, quantiles

from scale.machine import ALL

_QUIET = 0.1
"""Share of the processors that other programs may take before the table says so."""


@dataclass
class Figures:
    """All that one run measured; times in seconds, memory in MiB."""

    jobs: int
    all_children: float = 0.0
    """From the first FineTuneJob to the last child Job."""
    latencies: list[float] = field(default_factory=list)
    """From the creation of each FineTuneJob to that of its child."""
    all_terminal: float = 0.0
    """From the first FineTuneJob to the last status with a final phase."""
    not_one_child: int = 0
    """FineTuneJobs with no child, or more than one."""
    not_succeeded: int = 0
    idle_memory: float = 0.0
    """Before the first job."""
    memory: float = 0.0
    """When all jobs had ended."""
    peak_memory: float = 0.0
    processors: dict[str, float] = field(default_factory=dict)
    """Processor seconds by program, from the first job to the last status."""
    requests: dict[str, int] = field(default_factory=dict)
    """Requests of the operator meanwhile, by verb and resource."""
    looks: float = 0.0
    """How often the operator looked at a job meanwhile, over all jobs."""
    restarts: "list[Restart]" = field(default_factory=list)

    @property
    def requests_per_job(self) -> float:
        """Requests of the operator, divided by the jobs."""
        return sum(self.requests.values()) / self.jobs


@dataclass
class Restart:
    """How the operator came back after kill -9."""

    over: str
    """What there was to take up, in words."""
    ready: float
    """Seconds until every object was known."""
    idle: float
    """Seconds until every job was looked at."""
    writes: int
    """Requests that changed, or could have changed, something."""
    memory: float
    processor: float
    """Processor seconds that the operator used until then."""


def table(figures: Figures) -> str:
    """Return the figures as a table in Markdown."""
    p50, p99 = median(figures.latencies), quantiles(figures.latencies, n=100)[98]
    restarts = [
        (
            f"restart over {r.over}: all known / all looked at",
            f"{r.ready:.1f} / {r.idle:.1f} s, {r.processor:.1f} s of a processor, {r.memory:.0f} MiB",
            "<= 5 s",
            "- / 1.8-2.4 s",
        )
        for r in figures.restarts
    ]
    writes = [(f"writes after a restart over {r.over}", str(r.writes), "0", "1-2") for r in figures.restarts]
    rows = [
        ("FineTuneJobs", f"{figures.jobs}", "1000", "1000"),
        ("all child Jobs exist after", f"{figures.all_children:.1f} s", "<= 12 s", "48.6 / 29 s"),
        ("from FineTuneJob to child, p50", f"{p50:.2f} s", "", ""),
        ("from FineTuneJob to child, p99", f"{p99:.2f} s", "<= 1 s at 20/s", "45 / 26 s"),
        ("all have ended after", f"{figures.all_terminal:.1f} s", "<= 45 s", "101 / 75 s"),
        ("FineTuneJobs without exactly one child", f"{figures.not_one_child}", "0", ""),
        ("FineTuneJobs that did not succeed", f"{figures.not_succeeded}", "0", ""),
        ("memory before / after / at most", _memory(figures), "<= 130 MiB", "164-180 MiB"),
        ("processor time", f"{figures.processors['operator']:.1f} s", "", ""),
        ("requests a job", f"{figures.requests_per_job:.1f}", "<= 7", "7.0"),
        ("looks at a job", f"{figures.looks / figures.jobs:.1f}", "", ""),
        *restarts,
        *writes,
    ]
    head = ("", "this operator", "to reach", "Kubeflow Trainer v2.0.0")
    return "\n".join([*_lines([head, *rows]), "", *_requests(figures), "", *_processors(figures)])


def _memory(figures: Figures) -> str:
    return f"{figures.idle_memory:.0f} / {figures.memory:.0f} / {figures.peak_memory:.0f} MiB"


def _lines(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]]


def _requests(figures: Figures) -> list[str]:
    most = sorted(figures.requests.items(), key=lambda item: -item[1])
    return ["Requests of the operator from the first job to the last status:"] + [
        f"  {what:<44}{count:>7}{count / figures.jobs:>8.2f} a job" for what, count in most
    ]


def _processors(figures: Figures) -> list[str]:
    own = {name: seconds for name, seconds in figures.processors.items() if name != ALL and seconds >= 0.1}
    other = figures.processors[ALL] - sum(own.values())
    own["other programs: the machine was shared" if other > _QUIET * figures.processors[ALL] else "the rest"] = other
    return ["Processor seconds meanwhile:"] + [
        f"  {name:<44}{seconds:>7.1f}{1000 * seconds / figures.jobs:>8.1f} ms a job" for name, seconds in own.items()
    ]
