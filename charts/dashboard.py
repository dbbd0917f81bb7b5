"""The Grafana dashboard: one job, the fleet, the operator. `queries` gives tests every PromQL expression in it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dashboard_panels import ROWS, Panel

Json = dict[str, Any]
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_LINES = {
    "drawStyle": "line",
    "lineWidth": 2,
    "fillOpacity": 0,
    "showPoints": "auto",
    "spanNulls": False,
}


@dataclass
class _Place:
    """Where the next panel goes: Grafana's grid has 24 columns."""

    x: int = 0
    y: int = 0
    height: int = 0

    def take(self, width: int, height: int) -> Json:
        """Place a panel in the line, or begin a new one."""
        if self.x + width > _COLUMNS:
            self.end_line()
        place = {"x": self.x, "y": self.y, "w": width, "h": height}
        self.x, self.height = self.x + width, max(self.height, height)
        return place

    def end_line(self) -> None:
        self.x, self.y, self.height = 0, self.y + self.height, 0


def dashboard() -> str:
    """Return the dashboard as JSON, as Grafana imports it."""
    whole = {
        "uid": "finetune",
        "title": "FineTuneJobs",
        "description": "One fine-tuning job, all of them, and the operator that runs them.",
        "tags": ["finetune", "kubernetes"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(whole, indent=2) + "\n"


def queries() -> list[str]:
    """Return all expressions, with Grafana's variables in them."""
    return [expression for _, panels in ROWS for panel in panels for expression in panel.queries.values()]


def _variables() -> Iterator[Json]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    yield _variable("namespace", "Namespace", "label_values(finetune_jobs, namespace)")
    yield _variable("job", "Job", 'label_values(finetune_job_phase{namespace="$namespace"}, name)')


def _variable(name: str, label: str, query: str) -> Json:
    asked = {"query": query, "refId": f"variable-{name}"}
    # Asked again for each range of time, so that jobs which have ended can be chosen too.
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": asked,
        "refresh": 2,
        "sort": 1,
    }


def _panels() -> Iterator[Json]:
    place, number = _Place(), 1
    for title, panels in ROWS:
        place.end_line()
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": place.take(_COLUMNS, 1),
            "panels": [],
        }
        place.end_line()
        for number, panel in enumerate(panels, start=number + 1):  # noqa: B020 -- counts on through all rows
            yield _panel(number, panel, place.take(panel.width, panel.height))
        number += 1


def _panel(number: int, panel: Panel, grid: Json) -> Json:
    lines = panel.kind == "timeseries"
    stack = {"stacking": {"mode": "normal"}, "fillOpacity": 30} if panel.stacked else {}
    defaults: Json = {"unit": panel.unit, "custom": {**_LINES, **stack} if lines else {}}
    if panel.unit == "percentunit":
        defaults |= {"min": 0, "max": 1}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [_target(index, panel, *query) for index, query in enumerate(panel.queries.items())],
        "transformations": _columns(panel) if panel.kind == "table" else [],
    }


def _columns(panel: Panel) -> list[Json]:
    """Name the column of values like the query, and leave out the time."""
    return [
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": min(panel.queries)}}}
    ]


def _options(panel: Panel) -> Json:
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if panel.kind == "stat":
        shown = "name" if panel.shows_names else "auto"
        return {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "textMode": shown,
            "colorMode": "none",
            "graphMode": "none",
        }
    return {}


def _target(index: int, panel: Panel, legend: str, expression: str) -> Json:
    once = {"instant": True, "range": False, "format": "table"} if panel.kind == "table" else {"range": True}
    return {
        "refId": chr(ord("A") + index),
        "datasource": _SOURCE,
        "expr": expression,
        "legendFormat": legend,
        **once,
    }
