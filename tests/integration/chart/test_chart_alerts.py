"""Prometheus' own tool reads the alerts and the queries of the dashboard, and plays through when alerts fire."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dashboard import queries

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "charts" / "finetune-operator" / "files" / "alerts.yaml"


@pytest.fixture(scope="session")
def promtool() -> str:
    """Promtool (Debian: package `prometheus`). Without it: a skip, or with FINETUNE_REQUIRE_NODE=1 a failure."""
    program = shutil.which("promtool")
    if program is None and os.environ.get("FINETUNE_REQUIRE_NODE", "0") not in ("", "0"):
        pytest.fail("promtool is missing (and FINETUNE_REQUIRE_NODE is set): install prometheus", pytrace=False)
    if program is None:
        pytest.skip("promtool is missing: install prometheus")
    return program


def run(promtool: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_alerts_fire_when_they_should(promtool: str, tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(ROOT / "tests" / "data" / "alerts_test.yaml", tmp_path)
    done = run(promtool, "test", "rules", "alerts_test.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played_through() -> None:
    played = yaml.safe_load((ROOT / "tests" / "data" / "alerts_test.yaml").read_text())["tests"]
    fired = {case["alertname"] for test in played for case in test["alert_rule_test"] if case["exp_alerts"]}
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    assert fired == {rule["alert"] for group in groups for rule in group["rules"]}


def test_queries_of_the_dashboard_are_promql(promtool: str, tmp_path: Path) -> None:
    known = {"$namespace": "team", "$job": "tickets", "$__rate_interval": "1m"}
    plain = [re.sub(r"\$\w+", lambda found: known[found[0]], query) for query in queries()]
    rules = [{"record": f"panel:{index}", "expr": query} for index, query in enumerate(plain)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = run(promtool, "check", "rules", "rules.yaml", cwd=tmp_path)
    assert f"{len(rules)} rules found" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_query_that_is_none_would_be_noticed(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": "panel", "expr": "sum by phase (finetune_jobs)"}]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert run(promtool, "check", "rules", "rules.yaml", cwd=tmp_path).returncode != 0
