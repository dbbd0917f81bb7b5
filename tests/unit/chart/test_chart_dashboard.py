"""Dashboard and alerts ask for metrics that the operator and the trainer export, and for labels that these have."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard import dashboard, queries
from prometheus_client.core import Metric

from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.run_file import RunFile
from finetune_operator.metrics import Metrics
from finetune_operator.settings import Profile, Settings, TrainerImage
from finetune_operator.store import Store
from finetune_trainer.observer import TrainingTotals
from finetune_trainer.pod.metrics import Exposition
from finetune_trainer.pod.progress import RunProgress

CHART = Path(__file__).parents[3] / "charts" / "finetune-operator"
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_NAME = re.compile(r"\b(?:finetune|workqueue|process)_[a-z_]+\b")
_KEPT = {"namespace", "name", "phase", "le", "kind", "code", "verb", "resource", "result", "reason", "metric", "split"}


def operator_metrics() -> Iterable[Metric]:
    settings = Settings(trainer=TrainerImage(name="trainer"), profiles={"default": Profile()})
    return Metrics(Store(settings)).registry.collect()


def trainer_metrics() -> Iterator[Metric]:
    """Those of a run that has told everything."""
    spec = {
        "task": "SequenceClassification",
        "model": {"uri": "hf://owner/model"},
        "data": {"train": [{"uri": "s3://data/rows.csv"}]},
        "output": {"uri": "s3://models"},
    }
    job = {"name": "job", "namespace": "team", "uid": "1"}
    order = RunFile.model_validate({"job": job, "spec": spec})
    board = RunProgress(order)
    board.trained(Progress(loss=1, learning_rate=1, samples_per_second=1, tokens_per_second=1), TrainingTotals(1, 1, 1))
    board.measured(EvaluationResult(metrics={"accuracy": 1}), "test")
    yield from Exposition(order, board).collect()


def exported() -> set[str]:
    """Names of all series that can be asked for."""
    found = {"finetune_gpu_memory_bytes"}  # on a GPU only
    for family in [*operator_metrics(), *trainer_metrics()]:
        found |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))}
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in ALERTS for rule in group["rules"]]


@pytest.mark.parametrize("query", [*queries(), *(rule["expr"] for rule in alerts())])
def test_every_metric_that_is_asked_for_exists(query: str) -> None:
    asked = set(_NAME.findall(re.sub(r'"[^"]*"', "", query)))
    assert asked
    assert asked - exported() == set()


@pytest.mark.parametrize("query", [*queries(), *(rule["expr"] for rule in alerts())])
def test_queries_use_labels_that_no_scrape_changes(query: str) -> None:
    grouped = {label.strip() for part in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in part.split(",")}
    matched = set(re.findall(r'(\w+)(?:=|!=|=~|!~)"', query))
    assert (grouped - {"instance"}) | matched <= _KEPT


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    panels = json.loads(dashboard())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_rows_are_the_job_the_fleet_and_the_operator() -> None:
    panels = json.loads(dashboard())["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Job $namespace/$job",
        "All jobs",
        "Operator",
    ]


def test_every_query_of_a_panel_is_among_those_that_tests_try() -> None:
    panels = json.loads(dashboard())["panels"]
    assert [target["expr"] for panel in panels for target in panel.get("targets", [])] == queries()


def test_alerts_say_what_happened_and_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_page_on_monitoring_names_every_metric_and_alert() -> None:
    page = (CHART.parents[1] / "docs" / "how-to" / "monitor.md").read_text()
    told = set(re.findall(r"\b(?:finetune|workqueue)_[a-z_]+\b", page))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported() if not name.startswith("process_")}
    assert families - told == set()
    assert told - families == set()
    assert set(re.findall(r"`(FineTune(?:Job|Operator)\w+)`", page)) == {rule["alert"] for rule in alerts()}
