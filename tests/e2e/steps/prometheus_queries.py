"""Prometheus, asked by its HTTP API."""

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server."""

    url: str

    def query(self, expression: str) -> list[Json]:
        """Evaluate now; return the series."""
        return self._ask("query", query=expression)

    def values(self, expression: str, window: str = "1h") -> list[float]:
        """Return the samples of the first series that matches, as they were scraped within `window`."""
        series = self.query(f"{expression}[{window}]")
        return [float(value) for _, value in series[0]["values"]] if series else []

    def curve(self, expression: str, start: float, end: float, step: float = 1) -> list[Json]:
        """Evaluate from `start` to `end` (Unix seconds); return the series."""
        return self._ask("query_range", query=expression, start=str(start), end=str(end), step=str(step))

    def _ask(self, what: str, **parameters: str) -> list[Json]:
        address = f"{self.url.rstrip('/')}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 -- the address of the test bed
            return list(json.load(answer)["data"]["result"])


def dashboard_queries(dashboard: Path) -> list[tuple[str, str]]:
    """All queries of a Grafana dashboard, each with the title of its panel."""
    return list(_queries(json.loads(dashboard.read_text("utf-8"))))


def _queries(board: Json) -> Iterator[tuple[str, str]]:
    for panel in board.get("panels", []):
        yield from ((panel.get("title", ""), target["expr"]) for target in panel.get("targets", []) if "expr" in target)
        yield from _queries(panel)


def filled_in(expression: str, **variables: str) -> str:
    """The expression with Grafana's variables replaced: `$name`, `${name}` and `${name:regex}`."""
    for name, value in variables.items():
        expression = re.sub(rf"\$(?:{name}\b|{{{name}(?::\w+)?}})", lambda _, value=value: value, expression)  # type: ignore[misc]
    left = re.findall(r"\$\{?\w+", expression)
    assert not left, f"variables that the test does not know: {left} in {expression}"
    return expression
